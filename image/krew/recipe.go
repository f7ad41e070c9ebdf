// Package krew packs the kubectl plugin for krew, kubectl's plugin manager: an archive for each
// platform, and the manifest that says where they are and what their digests are.
//
// Invariant: who packs the same sources with the same Go gets the same bytes, hence the manifest's
// digests hold for archives that somebody else packed.
//
// What this package does not do: upload anything, or file anything with krew's index.
package krew

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/epitaph-k8s/epitaph/image/gobuild"
	"github.com/epitaph-k8s/epitaph/image/sbom"
)

const (
	// Releases is where a release's files are, by the rule of GitHub.
	Releases = "https://github.com/epitaph-k8s/epitaph/releases/download"
	// programPackage is what is packed; krew wants it under this name, so that kubectl finds it.
	programPackage = "./cmd/kubectl-epitaph"
	programName    = "kubectl-epitaph"
	licenseName    = "LICENSE"
)

// A Platform is what Go calls GOOS and GOARCH; krew calls it the same.
type Platform struct{ OS, Arch string }

// Platforms are those that people work at.
var Platforms = []Platform{
	{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

// isVersion is what krew takes (krew internal/installation/semver): a semantic version with a v
// before it.
var isVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// A Recipe is everything that decides what the archives are, but for the Go toolchain.
type Recipe struct {
	// Checkout is the folder of the sources; Version is stamped into the program.
	Checkout, Version string
	// URL is where the releases are, each in a folder that is called as its version.
	URL       string
	Platforms []Platform
}

// An Archive is the plugin for one platform.
type Archive struct {
	Platform
	// Name is the archive's file, Bin the program's in it, and SHA256 the archive's digest.
	Name, Bin, URL, SHA256 string
	// SBOM is the program's bill of materials, in SPDX.
	SBOM    []byte
	content []byte
}

// A Plugin is the one for all platforms.
type Plugin struct {
	Archives []Archive
	manifest []byte
}

// Make compiles the plugin and packs it.
func (r Recipe) Make(ctx context.Context) (Plugin, error) {
	if !isVersion.MatchString(r.Version) {
		return Plugin{}, fmt.Errorf(
			"pack version %q: krew takes versions such as v1.2.3 only: make plugin VERSION=v1.2.3",
			r.Version)
	}
	license, err := os.ReadFile(filepath.Join(r.Checkout, licenseName))
	if err != nil {
		return Plugin{}, fmt.Errorf("read the license: %w", err)
	}
	var m Plugin
	for _, p := range r.Platforms {
		a, err := r.archive(ctx, p, license)
		if err != nil {
			return Plugin{}, err
		}
		m.Archives = append(m.Archives, a)
	}
	m.manifest, err = manifest(r.Version, m.Archives)
	return m, err
}

func (r Recipe) archive(ctx context.Context, p Platform, license []byte) (Archive, error) {
	program, err := gobuild.Program{Checkout: r.Checkout, Package: programPackage,
		Version: r.Version, OS: p.OS, Arch: p.Arch}.Compile(ctx)
	if err != nil {
		return Archive{}, err
	}
	a := Archive{Platform: p, Bin: programName}
	pack, suffix := tarGz, ".tar.gz"
	if p.OS == "windows" { // There, a zip opens without another program.
		a.Bin, pack, suffix = programName+".exe", zipped, ".zip"
	}
	a.content, err = pack([]file{{licenseName, 0o644, license}, {a.Bin, 0o755, program}})
	if err != nil {
		return Archive{}, fmt.Errorf("pack the archive for %s/%s: %w", p.OS, p.Arch, err)
	}
	a.Name = fmt.Sprintf("%s_%s_%s%s", programName, p.OS, p.Arch, suffix)
	a.URL = r.URL + "/" + r.Version + "/" + a.Name
	a.SBOM, err = sbom.Of([]sbom.Program{{Name: programName, Content: program}}, r.Version)
	if err != nil {
		return Archive{}, err
	}
	digest := sha256.Sum256(a.content)
	a.SHA256 = hex.EncodeToString(digest[:])
	return a, nil
}

// Write puts archives and manifest into a folder.
func (m Plugin) Write(out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make the folder %s: %w", out, err)
	}
	for _, a := range m.Archives {
		if err := os.WriteFile(filepath.Join(out, a.Name), a.content, 0o644); err != nil {
			return fmt.Errorf("write an archive: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(out, ManifestName), m.manifest, 0o644); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

// WriteBills puts the programs' bills of materials beside the archives.
func (m Plugin) WriteBills(out string) error {
	for _, a := range m.Archives {
		name := fmt.Sprintf("%s_%s_%s.spdx.json", programName, a.OS, a.Arch)
		if err := os.WriteFile(filepath.Join(out, name), a.SBOM, 0o644); err != nil {
			return fmt.Errorf("write a bill of materials: %w", err)
		}
	}
	return nil
}
