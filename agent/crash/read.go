package crash

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// maxFiles, maxEntries and maxTotal bound what is read in a place, and maxBytes what is read of
	// a file: pstore's are some kilobytes, and of a log of megabytes only the end counts.
	maxFiles   = 512
	maxEntries = 4096
	maxBytes   = 256 << 10
	maxTotal   = 16 << 20
	// maxDepth is how deep systemd-pstore files what it moves: time and number of the dump
	// (src/pstore/pstore.c of systemd 256).
	maxDepth = 2
)

// A file holds the end of a file that was read.
type file struct {
	name, path, content string
	modified            time.Time
}

// A reader collects files in a place.
type reader struct {
	// owner is the UID whose files are believed.
	owner uint32
	// wanted reports by its name whether to read a file.
	wanted func(name string) bool
	found  []file
	seen   int
	bytes  int
	// failed is the first error. The rest is read all the same.
	failed error
}

// read collects the files of a folder, and of those below it down to a depth. A missing folder
// holds none.
func (r *reader) read(dir string, depth int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.fail(err)
		}
		return
	}
	for _, e := range entries {
		if r.seen++; r.seen > maxEntries || len(r.found) >= maxFiles || r.bytes >= maxTotal {
			r.fail(fmt.Errorf("%s holds too much: the rest was not read", dir))
			return
		}
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir() && depth > 0 && r.trusted(e):
			r.read(path, depth-1)
		case e.Type().IsRegular() && r.wanted(e.Name()):
			r.add(path)
		}
	}
}

func (r *reader) fail(err error) {
	if r.failed == nil {
		r.failed = err
	}
}

func (r *reader) trusted(e fs.DirEntry) bool {
	info, err := e.Info()
	return err == nil && r.owns(info)
}

func (r *reader) owns(info fs.FileInfo) bool {
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && status.Uid == r.owner
}

func (r *reader) add(path string) {
	f, err := r.open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.fail(err)
	}
	if f != nil {
		r.found = append(r.found, *f)
		r.bytes += len(f.content)
	}
}

// open reads the end of a file; nil if the file is not to be believed.
func (r *reader) open(path string) (*file, error) {
	handle, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	info, err := handle.Stat()
	if err != nil || !info.Mode().IsRegular() || !r.owns(info) {
		return nil, err
	}
	if over := info.Size() - maxBytes; over > 0 {
		if _, err := handle.Seek(over, io.SeekStart); err != nil {
			return nil, err
		}
	}
	content, err := io.ReadAll(io.LimitReader(handle, maxBytes))
	if err != nil {
		return nil, err
	}
	return &file{name: filepath.Base(path), path: path, content: string(content),
		modified: info.ModTime()}, nil
}
