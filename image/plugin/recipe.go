package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/epitaph-k8s/epitaph/image/gobuild"
)

const (
	// releases is where a release's files are, by the rule of GitHub.
	releases = "https://github.com/epitaph-k8s/epitaph/releases/download"
	// programPackage is what is packed; krew wants it under this name, so that kubectl finds it.
	programPackage = "./cmd/kubectl-epitaph"
	programName    = "kubectl-epitaph"
	licenseName    = "LICENSE"
)

// A platform is what Go calls GOOS and GOARCH; krew calls it the same.
type platform struct{ OS, Arch string }

// platforms are those that people work at.
var platforms = []platform{
	{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
}

// isVersion is what krew takes (krew internal/installation/semver): a semantic version with a v
// before it.
var isVersion = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

// A recipe is everything that decides what the archives are, but for the Go toolchain.
type recipe struct {
	checkout, version, url string
	platforms              []platform
}

// An archive is the plugin for one platform.
type archive struct {
	platform
	Name, Bin, URL, SHA256 string
	content                []byte
}

// made is the plugin for all platforms.
type made struct {
	archives []archive
	manifest []byte
}

func (r recipe) make(ctx context.Context) (made, error) {
	if !isVersion.MatchString(r.version) {
		return made{}, fmt.Errorf(
			"pack version %q: krew takes versions such as v1.2.3 only: make plugin VERSION=v1.2.3", r.version)
	}
	license, err := os.ReadFile(filepath.Join(r.checkout, licenseName))
	if err != nil {
		return made{}, fmt.Errorf("read the license: %w", err)
	}
	var m made
	for _, p := range r.platforms {
		a, err := r.archive(ctx, p, license)
		if err != nil {
			return made{}, err
		}
		m.archives = append(m.archives, a)
	}
	m.manifest, err = manifest(r.version, m.archives)
	return m, err
}

func (r recipe) archive(ctx context.Context, p platform, license []byte) (archive, error) {
	program, err := gobuild.Program{Checkout: r.checkout, Package: programPackage,
		Version: r.version, OS: p.OS, Arch: p.Arch}.Compile(ctx)
	if err != nil {
		return archive{}, err
	}
	a := archive{platform: p, Bin: programName}
	pack, suffix := tarGz, ".tar.gz"
	if p.OS == "windows" { // There, a zip opens without another program.
		a.Bin, pack, suffix = programName+".exe", zipped, ".zip"
	}
	a.content, err = pack([]file{{licenseName, 0o644, license}, {a.Bin, 0o755, program}})
	if err != nil {
		return archive{}, fmt.Errorf("pack the archive for %s/%s: %w", p.OS, p.Arch, err)
	}
	a.Name = fmt.Sprintf("%s_%s_%s%s", programName, p.OS, p.Arch, suffix)
	a.URL = r.url + "/" + r.version + "/" + a.Name
	digest := sha256.Sum256(a.content)
	a.SHA256 = hex.EncodeToString(digest[:])
	return a, nil
}

func (m made) write(out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return fmt.Errorf("make the folder %s: %w", out, err)
	}
	for _, a := range m.archives {
		if err := os.WriteFile(filepath.Join(out, a.Name), a.content, 0o644); err != nil {
			return fmt.Errorf("write an archive: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(out, manifestName), m.manifest, 0o644); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}
