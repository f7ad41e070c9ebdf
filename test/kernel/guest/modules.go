//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// modprobe is what the kernel starts when it wants a module.
func modprobe(name string) {
	load := func() error { return loadModules(name) }
	switch name {
	case "netconsole":
	case "broken":
		load = func() error { return loadModule("/broken.ko", "") }
	default:
		os.Exit(1)
	}
	if err := load(); err != nil {
		fmt.Println("guest:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// loadModules loads the modules of a kind in the order of their names, with the parameters that the
// test has for the kind.
func loadModules(kind string) error {
	files, err := filepath.Glob(filepath.Join("/modules", kind, "*.ko"))
	if err != nil {
		return err
	}
	parameters := strings.ReplaceAll(os.Getenv("guest_"+kind), ",", " ")
	for _, name := range files {
		if err := loadModule(name, parameters); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(name, parameters string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), parameters, 0); err != nil &&
		!errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", name, err)
	}
	return nil
}
