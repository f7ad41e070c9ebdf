// Package module reads and breaks kernel modules. They are ELF object files (include/linux/module.h
// of the kernel).
//
// What this package does not do: find or load modules.
package module

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Depends are the names of the modules that have to be loaded before.
func Depends(object []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("read a module: %w", err)
	}
	info := file.Section(".modinfo")
	if info == nil {
		return nil, errors.New("read a module: it has no .modinfo")
	}
	content, err := info.Data()
	if err != nil {
		return nil, fmt.Errorf("read a module's .modinfo: %w", err)
	}
	for field := range strings.SplitSeq(string(content), "\x00") {
		if names, ok := strings.CutPrefix(field, "depends="); ok {
			return strings.FieldsFunc(names, func(r rune) bool { return r == ',' }), nil
		}
	}
	return nil, nil
}

const (
	call     = 0xe8 // with a distance of four bytes
	callSize = 5
	// relocationSize is the size of an entry of a table of relocations, whose first field is the
	// offset.
	relocationSize = 24
)

// ud2 is the instruction that no processor knows, endbr64 the one that may stand where a function
// is entered.
var (
	ud2     = []byte{0x0f, 0x0b}
	endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}
)

// signed is the end of a module that is signed. One that is not is loaded, unless the kernel was
// told otherwise; one whose signature is wrong never is (kernel/module/signing.c).
var signed = []byte("~Module signature appended~\n")

// Break returns the module for x86-64 with a bug: whoever loads it makes the kernel execute an
// invalid instruction.
func Break(object []byte) ([]byte, error) {
	broken := bytes.TrimSuffix(bytes.Clone(object), signed)
	file, err := elf.NewFile(bytes.NewReader(broken))
	if err != nil {
		return nil, fmt.Errorf("break a module: %w", err)
	}
	function, err := initFunction(file)
	if err != nil {
		return nil, fmt.Errorf("break a module: %w", err)
	}
	section := file.Sections[function.Section]
	at := section.Offset + function.Value
	if uint64(len(broken)) < at+uint64(len(endbr64)+callSize+len(ud2)) {
		return nil, errors.New("break a module: its init function is outside of it")
	}
	relocated, err := relocations(file, function.Section)
	if err != nil {
		return nil, fmt.Errorf("break a module: %w", err)
	}
	if bytes.HasPrefix(broken[at:], endbr64) {
		at += uint64(len(endbr64))
	}
	// The call of the tracer is the loader's: it writes another instruction over it.
	if broken[at] == call && relocated[at+1-section.Offset] {
		at += callSize
	}
	for n := range uint64(len(ud2)) {
		if relocated[at+n-section.Offset] {
			return nil, errors.New("break a module: the loader would write over the bug")
		}
	}
	copy(broken[at:], ud2)
	return broken, nil
}

func initFunction(file *elf.File) (elf.Symbol, error) {
	symbols, err := file.Symbols()
	if err != nil {
		return elf.Symbol{}, fmt.Errorf("read its symbols: %w", err)
	}
	for _, s := range symbols {
		if s.Name == "init_module" && int(s.Section) < len(file.Sections) {
			return s, nil
		}
	}
	return elf.Symbol{}, errors.New("it has no init_module")
}

// relocations are the offsets in the section at which the loader writes.
func relocations(file *elf.File, of elf.SectionIndex) (map[uint64]bool, error) {
	at := map[uint64]bool{}
	for _, table := range file.Sections {
		//nolint:misspell // that is its name
		if table.Type != elf.SHT_RELA || table.Info != uint32(of) {
			continue
		}
		content, err := table.Data()
		if err != nil {
			return nil, fmt.Errorf("read its relocations: %w", err)
		}
		for ; len(content) >= relocationSize; content = content[relocationSize:] {
			at[binary.LittleEndian.Uint64(content)] = true
		}
	}
	return at, nil
}
