// Package watchdog finds out whether a hardware watchdog would restart a machine whose kernel has
// died: one that user space has started and feeds, as systemd does with RuntimeWatchdogSec.
//
// What this package does not do: start or feed one.
package watchdog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// A Watchdog is one that the kernel has a driver for.
type Watchdog struct {
	// Name is the kernel's name for it: watchdog0.
	Name string
	// Identity is the driver's name for it.
	Identity string
	// Timeout is after how many seconds without being fed it restarts the machine, as the kernel
	// prints it.
	Timeout string
	// Fed is set if user space has started it.
	Fed bool
}

const (
	// maxWatchdogs and maxBytes bound what is read.
	maxWatchdogs = 16
	maxBytes     = 256
	// software is the driver that is only a timer of the kernel, and dies with it
	// (drivers/watchdog/softdog.c).
	software = "Software Watchdog"
)

// In reads the watchdogs of a folder: /sys/class/watchdog
// (Documentation/ABI/testing/sysfs-class-watchdog). If the kernel does not show their state, none
// counts as fed.
func In(dir string) ([]Watchdog, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for watchdogs: %w", err)
	}
	var all []Watchdog
	for _, e := range entries[:min(len(entries), maxWatchdogs)] {
		value := func(name string) string { return read(filepath.Join(dir, e.Name(), name)) }
		all = append(all, Watchdog{
			Name: e.Name(), Identity: value("identity"), Timeout: value("timeout"),
			Fed: value("state") == "active",
		})
	}
	return all, nil
}

// Restarts reports whether it restarts a machine whose kernel has died.
func (w Watchdog) Restarts() bool { return w.Fed && w.Identity != software }

// Lacking says why none of them would restart the machine; empty if one would.
func Lacking(all []Watchdog) string {
	lacking := "there is no hardware watchdog"
	for _, w := range all {
		if w.Restarts() {
			return ""
		}
		why := "is not fed by user space"
		if w.Identity == software {
			why = "dies with the kernel"
		}
		lacking = w.Name + " (" + w.Identity + ") " + why
	}
	return lacking
}

// read returns the content of a file; empty if it cannot be read.
func read(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxBytes))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
