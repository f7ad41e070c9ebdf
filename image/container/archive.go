package container

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// An OCI archive says by annotations what an image is called: its tag for those who give the name
// themselves, and the whole name for containerd (images.AnnotationImageName), which imports it
// under that one. It is how a kubelet asks for "epitaph:TAG".
const (
	refName        = "org.opencontainers.image.ref.name"
	containerdName = "io.containerd.image.name"
	defaultPrefix  = "docker.io/library/"
)

// Write puts the archive, REPOSITORY.oci.tar, and a bill of materials for each platform into a
// folder.
func (m Image) Write(out string) (archive string, err error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("make the folder %s: %w", out, err)
	}
	for _, p := range m.Parts {
		name := fmt.Sprintf("%s-%s-%s.spdx.json", m.Repository, p.Platform.OS,
			p.Platform.Architecture)
		if err := os.WriteFile(filepath.Join(out, name), p.SBOM, 0o644); err != nil {
			return "", fmt.Errorf("write the bill of materials: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "epitaph-layout-")
	if err != nil {
		return "", fmt.Errorf("make a temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return "", fmt.Errorf("begin the image layout: %w", err)
	}
	if err := at.AppendIndex(m.Index, layout.WithAnnotations(map[string]string{
		refName: m.Tag, containerdName: defaultPrefix + m.Repository + ":" + m.Tag,
	})); err != nil {
		return "", fmt.Errorf("write the image layout: %w", err)
	}
	archive = filepath.Join(out, m.Repository+".oci.tar")
	return archive, pack(dir, archive)
}

// pack puts a folder's files into an archive: in the order of their names, and without anything
// that differs between machines.
func pack(dir, archive string) (err error) {
	file, err := os.Create(archive)
	if err != nil {
		return fmt.Errorf("create the archive: %w", err)
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
	}()
	w := tar.NewWriter(file)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return addFile(w, filepath.ToSlash(name), 0o644, content)
	})
	if err != nil {
		return fmt.Errorf("pack the archive: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("finish the archive: %w", err)
	}
	return nil
}
