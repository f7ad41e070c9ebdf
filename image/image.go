package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/epitaph-k8s/epitaph/image/gobuild"
)

const (
	repository = "epitaph"
	// nobody is the user and the group that distroless images run as; no file belongs to them.
	nobody   = "65532:65532"
	sbomPath = "usr/share/sbom/epitaph.spdx.json"
	megabyte = 1e6
)

// commands are the programs of the image, each at the root under its own name. The first is the
// entry point; `helm test` runs the second.
var commands = []string{"epitaph", "kubectl-epitaph"}

// A program is one of them, compiled.
type program struct {
	name    string
	content []byte
}

// A recipe is everything that decides what the image is, but for the Go toolchain.
type recipe struct {
	checkout, version string
	platforms         []v1.Platform
}

// A part is the image for one platform.
type part struct {
	platform v1.Platform
	image    v1.Image
	sbom     []byte
	size     int64
}

// made is the image for all platforms.
type made struct {
	index v1.ImageIndex
	parts []part
	tag   string
}

func (r recipe) make(ctx context.Context) (made, error) {
	m := made{index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex), tag: r.version}
	for _, platform := range r.platforms {
		p, err := r.part(ctx, platform)
		if err != nil {
			return made{}, err
		}
		m.parts = append(m.parts, p)
		m.index = mutate.AppendManifests(m.index, mutate.IndexAddendum{
			Add: p.image, Descriptor: v1.Descriptor{Platform: &p.platform},
		})
	}
	return m, nil
}

func (r recipe) part(ctx context.Context, platform v1.Platform) (part, error) {
	programs, err := r.compile(ctx, platform)
	if err != nil {
		return part{}, err
	}
	sbom, err := billOfMaterials(programs, r.version)
	if err != nil {
		return part{}, err
	}
	layer, err := layerOf(programs, sbom)
	if err != nil {
		return part{}, err
	}
	image, err := r.assemble(layer, platform)
	if err != nil {
		return part{}, fmt.Errorf("assemble the image for %s: %w", platform, err)
	}
	size, err := layer.Size()
	if err != nil {
		return part{}, fmt.Errorf("measure the layer for %s: %w", platform, err)
	}
	return part{platform: platform, image: image, sbom: sbom, size: size}, nil
}

func (r recipe) compile(ctx context.Context, platform v1.Platform) (programs []program, err error) {
	for _, name := range commands {
		content, err := gobuild.Program{
			Checkout: r.checkout, Package: "./cmd/" + name, Version: r.version, OS: platform.OS,
			Arch: platform.Architecture,
		}.Compile(ctx)
		if err != nil {
			return nil, err
		}
		programs = append(programs, program{name, content})
	}
	return programs, nil
}

// assemble puts the layer upon nothing.
func (r recipe) assemble(layer v1.Layer, platform v1.Platform) (v1.Image, error) {
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	image, err := mutate.Append(image, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer,
		History: v1.History{CreatedBy: "epitaph/image", Created: v1.Time{Time: epoch}},
	})
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = platform.OS, platform.Architecture,
		v1.Time{Time: epoch}
	file.Config = v1.Config{
		User:       nobody,
		Entrypoint: []string{"/" + commands[0]},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "epitaph",
			"org.opencontainers.image.version":  r.version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, file)
}

// epoch is when everything in the image was made, as far as it says.
var epoch = time.Unix(0, 0).UTC()

func layerOf(programs []program, sbom []byte) (v1.Layer, error) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, dir := range []string{"usr", "usr/share", path.Dir(sbomPath)} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755,
			ModTime: epoch}); err != nil {
			return nil, fmt.Errorf("write the layer: %w", err)
		}
	}
	if err := addFile(w, sbomPath, 0o444, sbom); err != nil {
		return nil, err
	}
	for _, p := range programs {
		if err := addFile(w, p.name, 0o555, p.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	}
	layer, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("compress the layer: %w", err)
	}
	return layer, nil
}

// addFile writes a file that belongs to root, so that the program cannot write to it.
func addFile(w *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)),
		ModTime: epoch}
	if err := w.WriteHeader(header); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	return nil
}
