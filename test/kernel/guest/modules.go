//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// modprobe is what the kernel starts when it wants a module.
func modprobe(name string) {
	if name != "netconsole" {
		os.Exit(1)
	}
	if err := loadModules(name); err != nil {
		fmt.Println("guest:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// loadModules loads the modules of a kind in the order of their names.
func loadModules(kind string) error {
	files, err := filepath.Glob(filepath.Join("/modules", kind, "*.ko"))
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := loadModule(name); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", name, err)
	}
	return nil
}
