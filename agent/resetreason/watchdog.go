package resetreason

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// maxWatchdogs and maxStatusBytes bound what is read: a machine has one or two.
	maxWatchdogs   = 16
	maxStatusBytes = 32
)

// flags are those of include/uapi/linux/watchdog.h, WDIOF_…, that say how the last boot ended.
var flags = []struct {
	bit    uint64
	cause  Cause
	detail string
}{
	{0x01, Overheated, "the machine was reset because it was too hot"},
	{0x02, Overheated, "the machine was reset because a fan had failed"},
	{0x10, PowerLost, "the power was too low"},
	{0x40, PowerLost, "the power was too high"},
	{0x20, Watchdog, "a watchdog had reset the machine"},
}

// watchdogs reads what each watchdog's hardware says.
func (p Places) watchdogs() (all []Reason, err error) {
	files, err := filepath.Glob(filepath.Join(p.Watchdogs, "*", "bootstatus"))
	if err != nil {
		return nil, fmt.Errorf("find watchdogs: %w", err)
	}
	var failed []error
	for _, file := range files[:min(len(files), maxWatchdogs)] {
		content, err := readFile(file, maxStatusBytes)
		if err != nil {
			failed = append(failed, fmt.Errorf("read a watchdog's status: %w", err))
			continue
		}
		// linux/drivers/watchdog/watchdog_dev.c prints it in decimal.
		status, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 32)
		if err != nil {
			continue
		}
		for _, f := range flags {
			if status&f.bit != 0 {
				all = append(all, Reason{Cause: f.cause, Source: BootStatus, Detail: f.detail})
			}
		}
	}
	return all, errors.Join(failed...)
}

// readFile reads no more than so many bytes; a file that is not there is empty.
func readFile(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, limit))
	return content, errors.Join(err, file.Close())
}
