// Package release makes everything that is handed out of one version: the image for all platforms,
// the chart, the kubectl plugin, the definitions of the records, bills of materials, and what
// another verifies them with: checksums, a statement of where they come from, signatures.
//
// Invariant: the same commit, version, key and Go give the same files, byte for byte, wherever and
// whenever they are made.
//
// What this package does not do: publish. The folder is what somebody uploads.
package release

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/epitaph-k8s/epitaph/image/container"
	"github.com/epitaph-k8s/epitaph/image/helmchart"
	"github.com/epitaph-k8s/epitaph/image/krew"
	"github.com/epitaph-k8s/epitaph/image/sign"
)

// The files besides those that the parts name themselves.
const (
	definitionsFile = "epitaph-crds.yaml"
	provenanceFile  = "epitaph.intoto.jsonl"
	sumsFile        = "SHA256SUMS"
	publicFile      = "epitaph.pub"

	definitionsDir = "charts/epitaph/crds"
)

// A Recipe is everything that decides what a release is, but for the commit and the Go toolchain.
type Recipe struct {
	// Checkout is the folder of the sources; Version is the release's.
	Checkout, Version string
	// Image is the repository in which the image will be, which the chart then asks for by its
	// digest; "" leaves the chart's own, and the tag.
	Image string
	// Key signs; without one nothing is signed.
	Key *sign.Key
}

// A file of the release.
type file struct {
	name   string
	digest [sha256.Size]byte
}

// Make writes the release into a folder of its version's name, in the place of what is there, and
// returns its path.
func (r Recipe) Make(ctx context.Context, out string) (dir string, err error) {
	if err := r.check(); err != nil {
		return "", err
	}
	from, err := inspect(ctx, r.Checkout)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("make the folder %s: %w", out, err)
	}
	work, err := os.MkdirTemp(out, ".release-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the release: %w", err)
	}
	defer os.RemoveAll(work)
	if err := r.parts(ctx, work); err != nil {
		return "", err
	}
	if err := r.vouch(ctx, work, from); err != nil {
		return "", err
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return "", fmt.Errorf("open the folder of the release: %w", err)
	}
	dir = filepath.Join(out, r.Version)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("remove an earlier %s: %w", dir, err)
	}
	if err := os.Rename(work, dir); err != nil {
		return "", fmt.Errorf("name the folder of the release: %w", err)
	}
	return dir, nil
}

// check refuses a version that Helm, krew or a registry would not take.
func (r Recipe) check() error {
	v, err := semver.StrictNewVersion(strings.TrimPrefix(r.Version, "v"))
	if err != nil || v.Metadata() != "" || "v"+v.String() != r.Version {
		return fmt.Errorf("release %q: a version is semantic, with a v before it and without "+
			"build metadata: make release VERSION=v1.2.3", r.Version)
	}
	return nil
}

// image makes one of the images, and writes it.
func (r Recipe) image(ctx context.Context, of container.Contents,
	dir string) (container.Image, error) {
	image, err := container.Recipe{Checkout: r.Checkout, Version: r.Version,
		Platforms: container.Platforms, Contents: of}.Make(ctx)
	if err != nil {
		return container.Image{}, err
	}
	_, err = image.Write(dir)
	return image, err
}

// parts writes what is used: images, chart, plugin, definitions, and what they consist of.
func (r Recipe) parts(ctx context.Context, dir string) error {
	image, err := r.image(ctx, container.Epitaph, dir)
	if err != nil {
		return err
	}
	if _, err := r.image(ctx, container.Cloud, dir); err != nil {
		return err
	}
	chart := helmchart.Recipe{Checkout: r.Checkout, Version: r.Version, Image: r.Image}
	if r.Image != "" {
		digest, err := image.Index.Digest()
		if err != nil {
			return fmt.Errorf("digest the image: %w", err)
		}
		chart.Digest = digest.String()
	}
	packed, err := chart.Make()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, packed.FileName()), packed.Archive,
		0o644); err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	plugin, err := krew.Recipe{Checkout: r.Checkout, Version: r.Version, URL: krew.Releases,
		Platforms: krew.Platforms}.Make(ctx)
	if err != nil {
		return err
	}
	if err := plugin.Write(dir); err != nil {
		return err
	}
	if err := plugin.WriteBills(dir); err != nil {
		return err
	}
	return r.definitions(dir)
}

// definitions are all in one file, for `kubectl apply`.
func (r Recipe) definitions(dir string) error {
	names, err := filepath.Glob(filepath.Join(r.Checkout, definitionsDir, "*.yaml"))
	if err != nil {
		return fmt.Errorf("find the definitions: %w", err)
	}
	if len(names) == 0 {
		return fmt.Errorf("find the definitions: no file is in %s", definitionsDir)
	}
	slices.Sort(names)
	var all strings.Builder
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read a definition: %w", err)
		}
		all.Write(content) // Each begins with the line that separates documents.
	}
	if err := os.WriteFile(filepath.Join(dir, definitionsFile), []byte(all.String()),
		0o644); err != nil {
		return fmt.Errorf("write the definitions: %w", err)
	}
	return nil
}

// vouch writes what the rest is verified with: the statement names every other file, the checksums
// those and the statement, and the signature is of the checksums.
func (r Recipe) vouch(ctx context.Context, dir string, from sources) error {
	made, err := digests(dir)
	if err != nil {
		return err
	}
	statement, err := r.attest(ctx, made, from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, provenanceFile), append(statement, '\n'),
		0o644); err != nil {
		return fmt.Errorf("write the provenance: %w", err)
	}
	if made, err = digests(dir); err != nil {
		return err
	}
	var sums strings.Builder
	for _, f := range made {
		fmt.Fprintf(&sums, "%x  %s\n", f.digest, f.name)
	}
	if err := os.WriteFile(filepath.Join(dir, sumsFile), []byte(sums.String()), 0o644); err != nil {
		return fmt.Errorf("write the checksums: %w", err)
	}
	if r.Key == nil {
		return nil
	}
	signature, err := r.Key.Blob([]byte(sums.String()))
	if err != nil {
		return err
	}
	public, err := r.Key.Public()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{sumsFile + ".sig": signature,
		publicFile: public} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// digests are those of a folder's files, in the order of their names.
func digests(dir string) (files []file, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the release: %w", err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the release: %w", err)
		}
		files = append(files, file{e.Name(), sha256.Sum256(content)})
	}
	return files, nil
}
