package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
)

const testVersion = "v0.0.0-test"

// A program is this command, built, with sources of programs of one line each, and the real chart.
type program struct{ path, checkout, out string }

func aProgram(t *testing.T) program {
	t.Helper()
	p := program{filepath.Join(t.TempDir(), "image"), t.TempDir(), t.TempDir()}
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.path,
		".").CombinedOutput(); err != nil {
		t.Fatalf("%s (%v)", said, err)
	}
	writeFile(t, filepath.Join(p.checkout, "go.mod"), "module example.com/one\n\ngo 1.26.0\n")
	writeFile(t, filepath.Join(p.checkout, "LICENSE"), "a license\n")
	for _, name := range []string{"epitaph", "kubectl-epitaph"} {
		writeFile(t, filepath.Join(p.checkout, "cmd", name, "main.go"),
			"package main\n\nvar version string\n\nfunc main() { print(\""+name+
				" version \", version, \"\\n\") }\n")
	}
	writeFile(t, filepath.Join(p.checkout, "cloud", "go.mod"), "module example.com/cloud\n\ngo 1.26.0\n")
	writeFile(t, filepath.Join(p.checkout, "cloud", "main.go"),
		"package main\n\nvar version string\n\nfunc main() { print(version) }\n")
	if err := os.CopyFS(filepath.Join(p.checkout, "charts", "epitaph"),
		os.DirFS("../charts/epitaph")); err != nil {
		t.Fatal(err)
	}
	return p
}

// run returns what the program says.
func (p program) run(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), p.path,
		append(args, "--checkout", p.checkout, "--out", p.out)...)
	c.Env = append(os.Environ(), env...)
	said, err := c.CombinedOutput()
	return string(said), err
}

// commit makes a repository of the sources.
func (p program) commit(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"},
		{"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "all"}} {
		c := exec.CommandContext(t.Context(), "git", args...)
		c.Dir = p.checkout
		c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		if said, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %s (%v)", args, said, err)
		}
	}
}

// archived is the digest of the image in the archive.
func (p program) archived(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if said, err := exec.CommandContext(t.Context(), "tar", "-xf",
		filepath.Join(p.out, "epitaph.oci.tar"), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%s (%v)", said, err)
	}
	root, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := root.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("the archive holds %d images (%v), want one", len(manifest.Manifests), err)
	}
	return manifest.Manifests[0].Digest.String()
}

// newKey is a file with a private key, as openssl writes it.
func newKey(t *testing.T) (file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "release.key")
	writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return file
}

// publicOf is the key that verifies, in PEM.
func publicOf(t *testing.T, keyFile string) string {
	t.Helper()
	content, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := cryptoutils.UnmarshalPEMToPrivateKey(content, cryptoutils.SkipPassword)
	if err != nil {
		t.Fatal(err)
	}
	public, err := cryptoutils.MarshalPublicKeyToPEM(key.(*ecdsa.PrivateKey).Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(public)
}

// verifier is Sigstore's, which cosign verifies with.
func verifier(t *testing.T, public string) signature.Verifier {
	t.Helper()
	key, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(public))
	if err != nil {
		t.Fatal(err)
	}
	v, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verify(t *testing.T, public string, content, signed []byte) {
	t.Helper()
	v := verifier(t, public)
	if err := v.VerifySignature(strings.NewReader(string(signed)),
		strings.NewReader(string(content))); err != nil {
		t.Errorf("Sigstore does not verify the signature: %v", err)
	}
	if err := v.VerifySignature(strings.NewReader(string(signed)),
		strings.NewReader(string(content)+" ")); err == nil {
		t.Error("Sigstore verifies the signature of something else")
	}
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
