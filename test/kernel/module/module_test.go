package module_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/test/kernel/module"
)

// An object is an object file with what a module has.
type object struct {
	info string
	// code is its .init.text, and relocated where the loader writes into that.
	code      []byte
	relocated []uint64
	// symbol is at the beginning of the code.
	symbol string
}

const (
	headerBytes  = 64
	sectionBytes = 64
)

// bytes puts the sections after the header, and their table at the end.
func (o object) bytes() []byte {
	var table, symbols bytes.Buffer
	for _, at := range o.relocated {
		write(&table, elf.Rela64{Off: at})
	}
	write(&symbols, elf.Sym64{})
	write(&symbols, elf.Sym64{Name: 1, Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1,
		Size: uint64(len(o.code))})
	names := "\x00.init.text\x00.modinfo\x00"
	sections := []struct {
		elf.Section64
		content []byte
	}{
		{},
		{elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS)}, o.code},
		//nolint:misspell // that is its name
		{elf.Section64{Type: uint32(elf.SHT_RELA), Info: 1}, table.Bytes()},
		{elf.Section64{Name: 12, Type: uint32(elf.SHT_PROGBITS)}, []byte(o.info)},
		{elf.Section64{Type: uint32(elf.SHT_SYMTAB), Link: 5, Entsize: elf.Sym64Size},
			symbols.Bytes()},
		{elf.Section64{Type: uint32(elf.SHT_STRTAB)}, []byte("\x00" + o.symbol + "\x00")},
		{elf.Section64{Type: uint32(elf.SHT_STRTAB)}, []byte(names)},
	}
	var contents, headers bytes.Buffer
	for _, s := range sections {
		s.Off, s.Size = uint64(headerBytes+contents.Len()), uint64(len(s.content))
		contents.Write(s.content)
		write(&headers, s.Section64)
	}
	var file bytes.Buffer
	write(&file, elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB),
			byte(elf.EV_CURRENT)},
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: uint64(headerBytes + contents.Len()), Ehsize: headerBytes, Shentsize: sectionBytes,
		Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1),
	})
	return append(append(file.Bytes(), contents.Bytes()...), headers.Bytes()...)
}

func write(to *bytes.Buffer, value any) {
	if err := binary.Write(to, binary.LittleEndian, value); err != nil {
		panic(err)
	}
}

func TestDepends(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		info string
		want []string
	}{
		"two": {info: "license=GPL\x00depends=virtio,virtio_ring\x00name=x\x00",
			want: []string{"virtio", "virtio_ring"}},
		"none":   {info: "license=GPL\x00depends=\x00", want: []string{}},
		"silent": {info: "license=GPL\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := module.Depends(object{info: test.info}.bytes())
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("Depends: %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestBreak(t *testing.T) {
	t.Parallel()
	var (
		rest    = bytes.Repeat([]byte{0x90}, 16)
		traced  = []byte{0xe8, 0, 0, 0, 0}
		endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}
		ud2     = []byte{0x0f, 0x0b}
		broken  = append(bytes.Clone(ud2), rest[2:]...)
	)
	const signature = "signature~Module signature appended~\n"
	for name, test := range map[string]struct {
		object    object
		wantCode  []byte
		wantError string
	}{
		"at its beginning": {object: object{symbol: "init_module", code: rest}, wantCode: broken},
		"after the tracer": {
			object: object{symbol: "init_module", code: append(traced, rest...),
				relocated: []uint64{1}},
			wantCode: append(bytes.Clone(traced), broken...),
		},
		"after both that stand first": {
			object: object{symbol: "init_module",
				code: bytes.Join([][]byte{endbr64, traced, rest}, nil), relocated: []uint64{5}},
			wantCode: bytes.Join([][]byte{endbr64, traced, broken}, nil),
		},
		"where the loader writes": {
			object:    object{symbol: "init_module", code: rest, relocated: []uint64{1}},
			wantError: "break a module: the loader would write over the bug",
		},
		"without an init": {
			object:    object{symbol: "cleanup_module", code: rest},
			wantError: "break a module: it has no init_module",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := append(test.object.bytes(), signature...)
			got, err := module.Break(whole)
			if test.wantError != "" {
				if err == nil || err.Error() != test.wantError {
					t.Errorf("Break: %v, want %q", err, test.wantError)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := append(bytes.Replace(test.object.bytes(), test.object.code, test.wantCode, 1),
				"signature"...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Break (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoModule(t *testing.T) {
	t.Parallel()
	if _, err := module.Break([]byte("\x7fELF")); err == nil {
		t.Error("Break breaks what is no module")
	}
	if _, err := module.Depends([]byte("\x7fELF")); err == nil {
		t.Error("Depends knows what needs what is no module")
	}
}
