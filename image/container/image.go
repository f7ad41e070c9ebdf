// Package container builds Epitaph's container images without a container engine: an index of one
// image for each platform, each of one layer with static programs and their bill of materials.
//
// Invariant: who builds the same sources with the same Go gets the same bytes, hence the same
// digest: no time, no path and no user of the building machine goes into it.
//
// What this package does not do: push, or sign. An Image is handed to those who do.
package container

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/epitaph-k8s/epitaph/image/gobuild"
	"github.com/epitaph-k8s/epitaph/image/sbom"
)

// nobody is the user and the group that distroless images run as; no file belongs to them.
const nobody = "65532:65532"

// Contents are what one image is made of.
type Contents struct {
	// Repository is what the image is called, in a registry's folder and in an archive.
	Repository string
	// module is the folder of the programs' module in the checkout.
	module   string
	programs []program
}

// A program is at the root of the image under its name; pkg is its package in the module.
type program struct{ name, pkg string }

var (
	// Epitaph is what runs everywhere. Its first program is the entry point; `helm test` runs the
	// second.
	Epitaph = Contents{Repository: "epitaph", module: ".", programs: []program{
		{"epitaph", "./cmd/epitaph"}, {"kubectl-epitaph", "./cmd/kubectl-epitaph"}}}
	// Cloud asks the clouds. Their SDKs are nothing that every node has to pull.
	Cloud = Contents{Repository: "epitaph-cloud", module: "cloud", programs: []program{
		{"epitaph-cloud", "."}}}
)

func (c Contents) sbomPath() string { return "usr/share/sbom/" + c.Repository + ".spdx.json" }

// Platforms are those of the nodes that Epitaph is for; the listener and the agent are Linux
// programs.
var Platforms = []v1.Platform{{OS: "linux", Architecture: "amd64"},
	{OS: "linux", Architecture: "arm64"}}

// A Recipe is everything that decides what the image is, but for the Go toolchain.
type Recipe struct {
	// Checkout is the folder of the sources; Version is stamped into the programs, and is the tag.
	Checkout, Version string
	Platforms         []v1.Platform
	// Contents are what goes in.
	Contents Contents
}

// A Part is the image for one platform.
type Part struct {
	Platform v1.Platform
	// SBOM is the bill of materials in SPDX, which is in the image, too.
	SBOM []byte
	// Size is the compressed layer's, in bytes.
	Size  int64
	image v1.Image
}

// An Image is the one for all platforms.
type Image struct {
	Index v1.ImageIndex
	Parts []Part
	// Repository and Tag are what it is called.
	Repository, Tag string
}

// Make compiles the programs and packs them.
func (r Recipe) Make(ctx context.Context) (Image, error) {
	m := Image{Index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		Repository: r.Contents.Repository, Tag: r.Version}
	for _, platform := range r.Platforms {
		p, err := r.part(ctx, platform)
		if err != nil {
			return Image{}, err
		}
		m.Parts = append(m.Parts, p)
		m.Index = mutate.AppendManifests(m.Index, mutate.IndexAddendum{
			Add: p.image, Descriptor: v1.Descriptor{Platform: &p.Platform},
		})
	}
	return m, nil
}

func (r Recipe) part(ctx context.Context, platform v1.Platform) (Part, error) {
	programs, err := r.compile(ctx, platform)
	if err != nil {
		return Part{}, err
	}
	bill, err := sbom.Of(programs, r.Version)
	if err != nil {
		return Part{}, err
	}
	layer, err := layerOf(programs, r.Contents.sbomPath(), bill)
	if err != nil {
		return Part{}, err
	}
	image, err := r.assemble(layer, platform)
	if err != nil {
		return Part{}, fmt.Errorf("assemble the image for %s: %w", platform, err)
	}
	size, err := layer.Size()
	if err != nil {
		return Part{}, fmt.Errorf("measure the layer for %s: %w", platform, err)
	}
	return Part{Platform: platform, image: image, SBOM: bill, Size: size}, nil
}

func (r Recipe) compile(ctx context.Context, platform v1.Platform) (programs []sbom.Program,
	err error) {
	for _, p := range r.Contents.programs {
		content, err := gobuild.Program{
			Checkout: filepath.Join(r.Checkout, r.Contents.module), Package: p.pkg,
			Version: r.Version, OS: platform.OS, Arch: platform.Architecture,
		}.Compile(ctx)
		if err != nil {
			return nil, err
		}
		programs = append(programs, sbom.Program{Name: p.name, Content: content})
	}
	return programs, nil
}

// assemble puts the layer upon nothing.
func (r Recipe) assemble(layer v1.Layer, platform v1.Platform) (v1.Image, error) {
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
		Entrypoint: []string{"/" + r.Contents.programs[0].name},
		Labels: map[string]string{
			"org.opencontainers.image.title":    r.Contents.Repository,
			"org.opencontainers.image.version":  r.Version,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(image, file)
}

// epoch is when everything in the image was made, as far as it says.
var epoch = time.Unix(0, 0).UTC()

func layerOf(programs []sbom.Program, sbomPath string, bill []byte) (v1.Layer, error) {
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	for _, dir := range []string{"usr", "usr/share", path.Dir(sbomPath)} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755,
			ModTime: epoch}); err != nil {
			return nil, fmt.Errorf("write the layer: %w", err)
		}
	}
	if err := addFile(w, sbomPath, 0o444, bill); err != nil {
		return nil, err
	}
	for _, p := range programs {
		if err := addFile(w, p.Name, 0o555, p.Content); err != nil {
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
