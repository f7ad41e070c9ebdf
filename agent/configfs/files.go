package configfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Files is the directory netconsole of a configfs: creating a directory there makes the kernel
// create a target. Names are relative to it.
type Files interface {
	// List returns the names in a directory.
	List(dir string) ([]string, error)
	Read(file string) (string, error)
	// Write writes an existing file; it never creates one.
	Write(file, value string) error
	Mkdir(dir string) error
	// Rmdir removes a directory; the files in it are the kernel's and go with it.
	Rmdir(dir string) error
	Chmod(name string, mode fs.FileMode) error
}

// maxAttributeBytes bounds what is read of an attribute: the kernel returns at most a page.
const maxAttributeBytes = 4096

// Directory is the real path of the files.
type Directory string

func (d Directory) at(name string) string { return filepath.Join(string(d), name) }

// List implements Files.
func (d Directory) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(d.at(dir))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Read implements Files.
func (d Directory) Read(file string) (string, error) {
	f, err := os.Open(d.at(file))
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxAttributeBytes))
	return strings.TrimRight(string(data), "\n"), errors.Join(err, f.Close())
}

// Write implements Files. It writes the value in one system call: each is a command to the kernel.
func (d Directory) Write(file, value string) error {
	f, err := os.OpenFile(d.at(file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", value, err)
	}
	return nil
}

// Mkdir implements Files.
func (d Directory) Mkdir(dir string) error { return os.Mkdir(d.at(dir), 0o755) }

// Rmdir implements Files.
func (d Directory) Rmdir(dir string) error {
	if err := syscall.Rmdir(d.at(dir)); err != nil {
		return &fs.PathError{Op: "rmdir", Path: d.at(dir), Err: err}
	}
	return nil
}

// Chmod implements Files.
func (d Directory) Chmod(name string, mode fs.FileMode) error { return os.Chmod(d.at(name), mode) }
