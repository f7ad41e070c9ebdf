package lastboot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// stateName is the agent's file. The others are the unit's: the boot that has begun under it,
	// and the last one that ended in an orderly way.
	stateName = "lastboot.json"
	begun     = "begun"
	ended     = "ended"

	maxStateBytes = 256 << 10
	maxMarkBytes  = 64
)

// A state is what is remembered.
type state struct {
	Boot boot `json:"boot"`
	// Previous is how the boot before ended; nil if none is known.
	Previous *End `json:"previous,omitempty"`
	// Before is that boot.
	Before boot `json:"before,omitzero"`
	// Seen are the dumps that are not new.
	Seen []string `json:"seen,omitempty"`
}

// load reads the file. A missing file, or one that a full disk cut off, counts as an empty state.
func load(dir string) (s state, err error) {
	content, err := read(filepath.Join(dir, stateName), maxStateBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, nil
	}
	if err != nil {
		return state{}, fmt.Errorf("read what is remembered of the last boot: %w", err)
	}
	if json.Unmarshal(content, &s) != nil {
		return state{}, nil
	}
	return s, nil
}

// save replaces the file atomically, and syncs it to disk, since the kernel may die at any time.
func (s state) save(dir string) error {
	content, err := json.Marshal(s)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = replace(filepath.Join(dir, stateName), content)
	}
	if err != nil {
		return fmt.Errorf("note this boot: %w", err)
	}
	return nil
}

func replace(path string, content []byte) error {
	fresh, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fresh.Write(content)
	if err := errors.Join(err, fresh.Sync(), fresh.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// mark returns the boot that the unit noted in a file; empty if there is none.
func mark(dir, name string) string {
	content, err := read(filepath.Join(dir, name), maxMarkBytes)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

func read(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, limit))
	return content, errors.Join(err, file.Close())
}
