//go:build linux

package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// starvation is after how many seconds a watchdog resets the machine that does not feed it.
const starvation = 2

// starve starts the watchdog, and does not feed it.
func starve() error {
	file, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// Without a close, the watchdog goes on.
	return unix.IoctlSetPointerInt(int(file.Fd()), unix.WDIOC_SETTIMEOUT, starvation)
}

// record does what a firmware does that has found an error: it writes into memory that is not
// Linux's. Of the text, the first word is the address, the second what to write, both in hex.
func record(text string) error {
	address, digits, _ := strings.Cut(text, " ")
	at, err := strconv.ParseInt(address, 16, 64)
	if err != nil {
		return err
	}
	content, err := hex.DecodeString(digits)
	if err != nil {
		return err
	}
	file, err := os.OpenFile("/dev/mem", os.O_RDWR|os.O_SYNC, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	memory, err := unix.Mmap(int(file.Fd()), at, (len(content)+4095)&^4095,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the firmware's memory: %w", err)
	}
	copy(memory, content)
	return unix.Munmap(memory)
}
