package container

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// copyOfSources has the files that a commit would have, and no repository.
func copyOfSources(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "elsewhere")
	list := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others",
		"--exclude-standard")
	list.Dir = "../.."
	files, err := list.Output()
	if err != nil {
		t.Fatalf("list the sources: %v", err)
	}
	for name := range strings.Lines(string(files)) {
		name = strings.TrimSpace(name)
		content, err := os.ReadFile(filepath.Join("../..", name))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(to, name), string(content))
	}
	return to
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// imagesOf unpacks an archive and returns the images that its one index names, which must be valid
// and for the platforms.
func imagesOf(t *testing.T, archive string, platforms ...v1.Platform) []v1.Image {
	t.Helper()
	index := read(t, archive)
	if err := validate.Index(index); err != nil {
		t.Errorf("the archive is no valid image: %v", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != len(platforms) {
		t.Fatalf("%d images, want %d", len(manifest.Manifests), len(platforms))
	}
	var images []v1.Image
	for i, d := range manifest.Manifests {
		if !d.Platform.Equals(platforms[i]) {
			t.Errorf("platform %s, want %s", d.Platform, platforms[i])
		}
		image, err := index.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, image)
	}
	return images
}

// read unpacks an archive and returns the image that its index names.
func read(t *testing.T, archive string) v1.ImageIndex {
	t.Helper()
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, file := range untar(t, bytes.NewReader(content)) {
		writeFile(t, filepath.Join(dir, filepath.FromSlash(name)), string(file))
	}
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations[refName] != testVersion {
		t.Fatalf("the archive holds %+v, want one image named %s", manifest.Manifests, testVersion)
	}
	if got, want := manifest.Manifests[0].Annotations[containerdName],
		"docker.io/library/epitaph:"+testVersion; got != want {
		t.Errorf("containerd would call it %q, and a kubelet asks for %q", got, want)
	}
	index, err := root.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func untar(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if !header.ModTime.Equal(epoch) || header.Uid != 0 || header.Mode&0o022 != 0 {
			t.Errorf("%s: %v of user %d, mode %o: want the epoch, root, and nobody else to write",
				header.Name, header.ModTime, header.Uid, header.Mode)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = content
	}
}
