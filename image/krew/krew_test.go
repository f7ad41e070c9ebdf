package krew

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A krew is the real one (test/krew), with a folder of its own.
type krew struct{ root string }

func newKrew(t *testing.T) krew {
	t.Helper()
	return krew{t.TempDir()}
}

// run returns what krew says as if it ran on another platform.
func (k krew) run(t *testing.T, on Platform, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go",
		append([]string{"-C", "../../test/krew", "tool", "krew"}, args...)...)
	cmd.Env = append(os.Environ(), "KREW_ROOT="+k.root, "KREW_OS="+on.OS, "KREW_ARCH="+on.Arch,
		"KREW_NO_UPGRADE_CHECK=1")
	said, err := cmd.CombinedOutput()
	return string(said), err
}

func (k krew) install(t *testing.T, out string, a Archive) {
	t.Helper()
	said, err := k.run(t, a.Platform, "install", "--manifest="+filepath.Join(out, ManifestName),
		"--archive="+filepath.Join(out, a.Name))
	if err != nil || !strings.Contains(said, "Installed plugin: epitaph\n") {
		t.Fatalf("krew says %v:\n%s", err, said)
	}
}

// installed lists what krew took from the archive.
func (k krew) installed(t *testing.T) (names []string) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(k.root, "store", "epitaph", testVersion))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// kubectl is the real one (test/controlplane), with nothing but what krew installed on its PATH.
func (k krew) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	where := exec.CommandContext(t.Context(),
		"go", "-C", "../..", "run", "./test/cmd/sandbox", "path", "kubectl")
	path, err := where.Output()
	if err != nil {
		t.Fatalf("find kubectl: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), args...)
	cmd.Env = []string{"PATH=" + filepath.Join(k.root, "bin"), "HOME=" + t.TempDir()}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("kubectl %v: %v\n%s", args, err, &said)
	}
	return said.String()
}

// validate asks krew what it asks of a manifest before it takes it into its index, but for the
// download.
func validate(t *testing.T, manifest string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "-C", "../../test/krew", "tool",
		"validate-krew-manifest", "-skip-install", "-manifest", manifest)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("krew's index would not take the manifest: %v\n%s", err, said)
	}
}
