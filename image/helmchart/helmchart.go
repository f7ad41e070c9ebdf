// Package helmchart packs the Helm chart of a release: with the release's version, and with the
// image of the same release among its values. It is what `helm package` would make of the folder,
// and an artifact such as `helm push` puts into a registry.
//
// Invariant: the same chart, version and image give the same bytes.
//
// What this package does not do: render or judge the chart. Helm does, in the tests.
package helmchart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
	"sigs.k8s.io/yaml"
)

const (
	// Repository is where the chart is in a registry's folder: beside the image, which is called
	// like it.
	Repository = "charts/epitaph"

	dir        = "charts/epitaph"
	chartFile  = "Chart.yaml"
	valuesFile = "values.yaml"
	ignoreFile = ".helmignore"
)

// epoch is when every file of the chart was made, as far as it says.
var epoch = time.Unix(0, 0).UTC()

// A Recipe is everything that decides what the chart is.
type Recipe struct {
	// Checkout is the folder of the sources.
	Checkout string
	// Version is the release's, and the image's tag.
	Version string
	// Image is the image's repository; "" leaves the chart's own. Digest is the image's, if the
	// chart shall ask for that.
	Image, Digest string
}

// A Chart is packed.
type Chart struct {
	Name, Version string
	// Archive is the .tgz.
	Archive []byte
	// metadata is Chart.yaml.
	metadata []byte
}

// Make packs the chart.
func (r Recipe) Make() (Chart, error) {
	files, err := r.files()
	if err != nil {
		return Chart{}, fmt.Errorf("read the chart: %w", err)
	}
	var c Chart
	if err := c.stamp(files, r); err != nil {
		return Chart{}, err
	}
	if files[valuesFile], err = withImage(files[valuesFile], r); err != nil {
		return Chart{}, err
	}
	if c.Archive, err = pack(c.Name, files); err != nil {
		return Chart{}, fmt.Errorf("pack the chart: %w", err)
	}
	return c, nil
}

// FileName is what Helm calls the archive.
func (c Chart) FileName() string { return c.Name + "-" + c.Version + ".tgz" }

// files reads what belongs to the chart, by its path there.
func (r Recipe) files() (map[string][]byte, error) {
	root := filepath.Join(r.Checkout, filepath.FromSlash(dir))
	ignored, err := os.ReadFile(filepath.Join(root, ignoreFile))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if rel = filepath.ToSlash(rel); entry.IsDir() {
			if leftOut(ignored, rel+"/") {
				return fs.SkipDir
			}
			return nil
		}
		if leftOut(ignored, rel) {
			return nil
		}
		files[rel], err = os.ReadFile(name)
		return err
	})
	return files, err
}

// leftOut tells whether .helmignore names a file, or a folder with a slash behind it. Of the rules
// that Helm has for it the chart needs no other.
func leftOut(ignored []byte, name string) bool {
	for line := range strings.Lines(string(ignored)) {
		if strings.TrimSpace(line) == name {
			return true
		}
	}
	return false
}

// stamp writes the version into Chart.yaml.
func (c *Chart) stamp(files map[string][]byte, r Recipe) error {
	var declared struct{ Name, Version string }
	if err := yaml.Unmarshal(files[chartFile], &declared); err != nil {
		return fmt.Errorf("read %s: %w", chartFile, err)
	}
	c.Name, c.Version = declared.Name, versionOf(declared.Version, r.Version)
	stamped, err := setLine(files[chartFile], "version: ", c.Version)
	if err == nil {
		stamped, err = setLine(stamped, "appVersion: ", r.Version)
	}
	if err != nil {
		return fmt.Errorf("write the version into %s: %w", chartFile, err)
	}
	files[chartFile] = stamped
	if c.metadata, err = yaml.YAMLToJSON(stamped); err != nil {
		return fmt.Errorf("read %s: %w", chartFile, err)
	}
	return nil
}

// versionOf is what Helm takes for a version: a semantic one. A release is called by one; what is
// built between two releases, and called after a commit, comes before that which the chart
// declares.
func versionOf(declared, version string) string {
	bare := strings.TrimPrefix(version, "v")
	if _, err := semver.StrictNewVersion(bare); err == nil {
		return bare
	}
	return declared + "-git-" + strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '-'
	}, version)
}

// withImage writes the release's image into the values, as whoever installs it would.
func withImage(values []byte, r Recipe) ([]byte, error) {
	const begin = "\nimage:\n"
	head, rest, found := strings.Cut("\n"+string(values), begin)
	end := strings.Index(rest, "\n\n")
	if !found || end < 0 {
		return nil, fmt.Errorf("write the image into %s: it has no paragraph image",
			valuesFile)
	}
	section := []byte(rest[:end])
	for _, field := range []struct{ key, value string }{
		{"  repository: ", r.Image}, {"  tag: ", r.Version}, {"  digest: ", r.Digest},
	} {
		if field.value == "" {
			continue
		}
		var err error
		if section, err = setLine(section, field.key, field.value); err != nil {
			return nil, fmt.Errorf("write the image into %s: %w", valuesFile, err)
		}
	}
	return []byte(strings.TrimPrefix(head+begin+string(section)+rest[end:], "\n")), nil
}

// setLine replaces what follows a key that begins one line. The file stays as it was otherwise,
// with its comments.
func setLine(content []byte, key, value string) ([]byte, error) {
	quoted, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(content), "\n")
	var at []int
	for i, line := range lines {
		if strings.HasPrefix(line, key) {
			at = append(at, i)
		}
	}
	if len(at) != 1 {
		return nil, fmt.Errorf("%d lines begin with %q, want one", len(at), key)
	}
	lines[at[0]] = key + string(quoted)
	return []byte(strings.Join(lines, "\n")), nil
}

// pack writes the archive as Helm expects it: everything in a folder of the chart's name.
func pack(name string, files map[string][]byte) ([]byte, error) {
	var packed bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(compressed)
	for _, file := range order(files) {
		content := files[file]
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(name, file),
			Mode: 0o644, Size: int64(len(content)), ModTime: epoch}); err != nil {
			return nil, fmt.Errorf("add %s: %w", file, err)
		}
		if _, err := w.Write(content); err != nil {
			return nil, fmt.Errorf("add %s: %w", file, err)
		}
	}
	if err := errors.Join(w.Close(), compressed.Close()); err != nil {
		return nil, fmt.Errorf("finish: %w", err)
	}
	return packed.Bytes(), nil
}
