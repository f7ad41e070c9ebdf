//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// exitCode is what init ends with: the panic's text has it in hex.
	exitCode = 7
	// gulp is how much is eaten at a time.
	gulp = 1 << 20
	// nobody is the uid of somebody without any privilege.
	nobody = 65534
)

// obey does one command for each connection, and answers when it is done, if it lives to do so.
func obey() error {
	listener, err := net.Listen("tcp", ":9000")
	if err != nil {
		return err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil {
			err = command(strings.TrimSpace(line))
		}
		fmt.Fprintf(conn, "done: %v\n", err)
		_ = conn.Close()
	}
}

func command(line string) error {
	verb, text, _ := strings.Cut(line, " ")
	switch verb {
	case "sysrq":
		return set("/proc/sysrq-trigger", "c")
	case "init":
		os.Exit(exitCode)
	case "oom":
		return eatMemory()
	case "print":
		return set("/dev/kmsg", text)
	case "forge":
		return forge(text)
	}
	return fmt.Errorf("unknown command %q", line)
}

func eatMemory() error {
	if err := set("/proc/sys/vm/panic_on_oom", "1"); err != nil {
		return err
	}
	for eaten := [][]byte{}; ; {
		mouthful := make([]byte, gulp)
		for i := range mouthful {
			mouthful[i] = 1
		}
		eaten = append(eaten, mouthful)
	}
}

// forge has the kernel itself print the text at the start of a line: it warns of the first program with an executable stack
// by the program's path, and does not mind what characters are in that.
func forge(text string) error {
	long := strings.Repeat("a", 240)
	dir := filepath.Join("/", long, long, long)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	program := filepath.Join(dir, "b\n"+text+"\n")
	if err := os.WriteFile(program, executableStack(), 0o755); err != nil {
		return err
	}
	cmd := exec.Command(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
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
	for _, h := range [][8]uint64{{load, 5, 0, base, base, size, size, 0x1000}, {gnuStk, rwx, 0, 0, 0, 0, 0, 16}} {
		p = le.AppendUint32(p, uint32(h[0]))
		p = le.AppendUint32(p, uint32(h[1]))
		for _, v := range h[2:] {
			p = le.AppendUint64(p, v)
		}
	}
	return append(p, code...)
}
