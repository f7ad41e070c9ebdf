// Package watchdog finds out whether a machine whose kernel has died would be restarted by a
// hardware watchdog: one that user space has started and feeds, as systemd does with
// RuntimeWatchdogSec.
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
	// Name is the kernel's: watchdog0.
	Name string
	// Identity is its driver's.
	Identity string
	// Timeout is after how many seconds without food it restarts the machine, as the kernel prints
	// it.
	Timeout string
	// Fed is set where user space has started it.
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
// (Documentation/ABI/testing/sysfs-class-watchdog). A kernel that shows no states has none of which
// anything is known.
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

// Restarts tells whether it restarts a machine whose kernel has died.
func (w Watchdog) Restarts() bool { return w.Fed && w.Identity != software }

// Lacking says why none of them would restart the machine; empty where one would.
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

// read returns what a file holds; empty where it cannot be read.
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
