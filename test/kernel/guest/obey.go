//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
)

const (
	// exitCode is what init ends with: the panic's text has it in hex.
	exitCode = 7
	// gulp is how much is eaten at a time.
	gulp = 1 << 20
)

// obey does one command for each connection, and answers when it is done, if it lives to do so.
func obey(orders net.Listener) error {
	for {
		conn, err := orders.Accept()
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
	case "oops":
		return loadModule("/broken.ko", "")
	case "survive":
		return survive()
	case "starve":
		return starve()
	case "record":
		return record(text)
	case "reset":
		return set("/proc/sysrq-trigger", "b")
	case "reboot":
		return reboot()
	case "put":
		path, content, _ := strings.Cut(text, " ")
		return put(path, content)
	case "print":
		// Without the end of the line, the kernel waits for more of it.
		return set("/dev/kmsg", text+"\n")
	case "say":
		address, quoted, _ := strings.Cut(text, " ")
		return say(address, quoted)
	case "hush":
		return hush(text)
	case "forge":
		return forge(text)
	case "agent":
		return runAgent(strings.Fields(text))
	case "run":
		return runProgram(strings.Fields(text))
	case "follow":
		return startAgent(strings.Fields(text))
	case "show":
		return show(text)
	case "set":
		path, value, _ := strings.Cut(text, " ")
		return set(path, value)
	case "mkdir":
		return os.Mkdir(text, 0o755)
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
