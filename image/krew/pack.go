package krew

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// madeAt is when everything in an archive was made, as far as it says: the first time that a zip
// can tell.
var madeAt = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// A file of an archive. The files come in the order of their names.
type file struct {
	name    string
	mode    fs.FileMode
	content []byte
}

// tarGz packs files without anything that differs between machines: Go's gzip header has no time
// and no name unless told.
func tarGz(files []file) ([]byte, error) {
	var packed bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(compressed)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: int64(f.mode),
			Size: int64(len(f.content)), ModTime: madeAt, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("add %s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("add %s: %w", f.name, err)
		}
	}
	// Closing writes, so that the bytes are complete only then.
	if err := errors.Join(w.Close(), compressed.Close()); err != nil {
		return nil, fmt.Errorf("finish: %w", err)
	}
	return packed.Bytes(), nil
}

func zipped(files []file) ([]byte, error) {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: madeAt}
		header.SetMode(f.mode)
		into, err := w.CreateHeader(header)
		if err != nil {
			return nil, fmt.Errorf("add %s: %w", f.name, err)
		}
		if _, err := into.Write(f.content); err != nil {
			return nil, fmt.Errorf("add %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("finish: %w", err)
	}
	return packed.Bytes(), nil
}
