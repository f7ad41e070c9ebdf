package container

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	testVersion = "v0.0.0-test"
	// largest is what an image may weigh, in compressed megabytes. The plugin, which `helm test`
	// runs, has kubectl's own drain and reading of objects in it, and the archive two databases.
	largest  = 48
	megabyte = 1e6
)

// native is where the tests run: there, the program of the image can be run, and what Go compiles
// is needed anyway.
var native = v1.Platform{OS: "linux", Architecture: runtime.GOARCH}

func build(t *testing.T, checkout string, platforms ...v1.Platform) Image {
	t.Helper()
	m, err := Recipe{Checkout: checkout, Version: testVersion,
		Platforms: platforms, Contents: Epitaph}.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The archive is what users get: it is written, read back, and what is in it is run.
//
// Not in parallel with the others: two runs of Go at once would both compile what neither has yet.
func TestArchive(t *testing.T) {
	archive, err := build(t, "../..", native).Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	image := imagesOf(t, archive, native)[0]
	checkConfig(t, image, native)
	checkSize(t, image)
	sbom := checkFiles(t, image)
	for _, want := range []string{
		"github.com/epitaph-k8s/epitaph/cmd/epitaph",
		"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph", "stdlib", "k8s.io/client-go",
		"sigs.k8s.io/controller-runtime",
	} {
		if !slices.ContainsFunc(sbom.Packages,
			func(p *spdx.Package) bool { return p.PackageName == want }) {
			t.Errorf("the bill of materials does not list %s", want)
		}
	}
}

// Neither the folder nor the repository in which it is built shows in the image.
func TestReproducible(t *testing.T) {
	here := digestOf(t, build(t, "../..", native).Index)
	there := digestOf(t, build(t, copyOfSources(t), native).Index)
	if here != there {
		t.Errorf("built in the checkout: %s; in a copy elsewhere: %s", here, there)
	}
}

// Each platform has an image of its own in the one archive. A program of one line stands for
// Epitaph, which takes minutes to compile for a processor that this machine does not have.
func TestPlatforms(t *testing.T) {
	checkout, out := twoPrograms(t), t.TempDir()
	archive, err := build(t, checkout, Platforms...).Write(out)
	if err != nil {
		t.Fatal(err)
	}
	for i, image := range imagesOf(t, archive, Platforms...) {
		checkConfig(t, image, Platforms[i])
		sbom := checkFiles(t, image)
		beside, err := os.ReadFile(filepath.Join(out,
			"epitaph-linux-"+Platforms[i].Architecture+".spdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(beside), sbom.DocumentNamespace) {
			t.Errorf("%s: the bill of materials beside the archive is another program's",
				Platforms[i])
		}
	}
}

// twoPrograms are sources of programs of one line each.
func twoPrograms(t *testing.T) (checkout string) {
	t.Helper()
	checkout = t.TempDir()
	writeFile(t, filepath.Join(checkout, "go.mod"), "module example.com/one\n\ngo 1.26.0\n")
	for _, name := range []string{"epitaph", "kubectl-epitaph"} {
		writeFile(t, filepath.Join(checkout, "cmd", name, "main.go"),
			"package main\n\nvar version string\n\nfunc main() { print(\""+name+
				" version \", version, \"\\n\") }\n")
	}
	return checkout
}

func TestSourcesThatDoNotCompile(t *testing.T) {
	checkout := t.TempDir()
	writeFile(t, filepath.Join(checkout, "go.mod"), "module example.com/one\n\ngo 1.26.0\n")
	writeFile(t, filepath.Join(checkout, "cmd", "epitaph", "main.go"),
		"package main\n\nfunc main() { oops() }\n")
	_, err := Recipe{Checkout: checkout, Version: testVersion,
		Platforms: Platforms, Contents: Epitaph}.Make(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(),
		"build epitaph for linux/amd64: exit status 1\n") ||
		!strings.Contains(err.Error(), "main.go:3:15: undefined: oops") {
		t.Errorf("error = %v, want the compiler's", err)
	}
}

func checkConfig(t *testing.T, image v1.Image, p v1.Platform) {
	t.Helper()
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.Architecture != p.Architecture || file.OS != p.OS {
		t.Errorf("configured for %s/%s, want %s", file.OS, file.Architecture, p)
	}
	if file.Config.User != "65532:65532" {
		t.Errorf("runs as %q, want 65532:65532", file.Config.User)
	}
	if got := file.Config.Labels["org.opencontainers.image.version"]; got != testVersion {
		t.Errorf("labelled %q, want %q", got, testVersion)
	}
}

func checkSize(t *testing.T, image v1.Image) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v; want one", len(layers), err)
	}
	size, err := layers[0].Size()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("RESULT image_compressed_mb %.1f MB\n", float64(size)/megabyte)
	if float64(size)/megabyte > largest {
		t.Errorf("%d bytes compressed, want at most %d MB", size, largest)
	}
}

// checkFiles returns the bill of materials.
func checkFiles(t *testing.T, image v1.Image) (sbom spdx.Document) {
	t.Helper()
	r := mutate.Extract(image)
	defer r.Close()
	files := untar(t, r)
	bill := Epitaph.sbomPath()
	if len(files) != 3 || files["epitaph"] == nil || files["kubectl-epitaph"] == nil ||
		files[bill] == nil {
		t.Fatalf("%d files, want the two programs and %s only", len(files), bill)
	}
	if err := json.Unmarshal(files[bill], &sbom); err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS == runtime.GOOS && config.Architecture == runtime.GOARCH {
		checkProgram(t, files, "epitaph", "version")
		checkProgram(t, files, "kubectl-epitaph", "--version")
	}
	return sbom
}

// checkProgram runs a program of the image, and asks it for its version.
func checkProgram(t *testing.T, files map[string][]byte, name, ask string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, files[name], 0o755); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), path, ask).CombinedOutput()
	if !strings.HasSuffix(strings.TrimSpace(string(said)), testVersion) || err != nil {
		t.Errorf("%s says %q, %v; want %s", name, said, err, testVersion)
	}
}

func digestOf(t *testing.T, index v1.ImageIndex) string {
	t.Helper()
	d, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}
