package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
)

// A release is the same in every byte, signatures too, wherever and whenever it is made; and
// others' tools verify it.
func TestRelease(t *testing.T) {
	p, keyFile := aProgram(t), newKey(t)
	p.commit(t)
	args := []string{"release", "--version", "v0.2.0", "--key", keyFile, "--image",
		"registry.example/team/epitaph"}
	make := func(p program) map[string]string {
		if said, err := p.run(t, nil, args...); err != nil {
			t.Fatalf("%s (%v)", said, err)
		}
		return contents(t, filepath.Join(p.out, "v0.2.0"))
	}
	first := make(p)
	elsewhere := program{p.path, filepath.Join(t.TempDir(), "clone"), t.TempDir()}
	if said, err := exec.CommandContext(t.Context(), "git", "clone", "-q", p.checkout,
		elsewhere.checkout).CombinedOutput(); err != nil {
		t.Fatalf("%s (%v)", said, err)
	}
	for name, content := range make(elsewhere) {
		if first[name] != content {
			t.Errorf("%s is another when it is made again", name)
		}
	}
	public := publicOf(t, keyFile)
	checkComplete(t, first)
	checkSums(t, first)
	signed, err := base64.StdEncoding.DecodeString(first["SHA256SUMS.sig"])
	if err != nil {
		t.Fatal(err)
	}
	verify(t, public, []byte(first["SHA256SUMS"]), signed)
	if first["epitaph.pub"] != public {
		t.Errorf("the public key is\n%s\nwant\n%s", first["epitaph.pub"], public)
	}
	checkProvenance(t, public, first)
}

func checkComplete(t *testing.T, files map[string]string) {
	t.Helper()
	want := []string{"SHA256SUMS", "SHA256SUMS.sig", "epitaph-0.2.0.tgz", "epitaph-crds.yaml",
		"epitaph-linux-amd64.spdx.json", "epitaph-linux-arm64.spdx.json", "epitaph.intoto.jsonl",
		"epitaph-cloud.oci.tar", "epitaph-cloud-linux-amd64.spdx.json",
		"epitaph-cloud-linux-arm64.spdx.json",
		"epitaph.oci.tar", "epitaph.pub", "epitaph.yaml"}
	for _, platform := range []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64",
		"windows_amd64", "windows_arm64"} {
		suffix := ".tar.gz"
		if strings.HasPrefix(platform, "windows") {
			suffix = ".zip"
		}
		want = append(want, "kubectl-epitaph_"+platform+suffix,
			"kubectl-epitaph_"+platform+".spdx.json")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, sorted(files)); diff != "" {
		t.Errorf("the release holds (-want +got):\n%s", diff)
	}
	if got := strings.Count(files["epitaph-crds.yaml"],
		"\nkind: CustomResourceDefinition\n"); got != 3 {
		t.Errorf("%d definitions, want 3", got)
	}
}

// checkSums asks sha256sum, as whoever downloads would.
func checkSums(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	c := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	c.Dir = dir
	if said, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s (%v)", said, err)
	}
}

// checkProvenance has Sigstore verify the envelope, and compares what it says with the files.
func checkProvenance(t *testing.T, public string, files map[string]string) {
	t.Helper()
	text := files["epitaph.intoto.jsonl"]
	envelopes := dsse.WrapVerifier(verifier(t, public))
	if err := envelopes.VerifySignature(strings.NewReader(text), nil); err != nil {
		t.Errorf("Sigstore does not verify the provenance: %v", err)
	}
	if err := dsse.WrapVerifier(verifier(t, publicOf(t, newKey(t)))).VerifySignature(
		strings.NewReader(text), nil); err == nil {
		t.Error("another's key verifies the provenance")
	}
	var envelope struct{ PayloadType, Payload string }
	if err := json.Unmarshal([]byte(text), &envelope); err != nil {
		t.Fatal(err)
	}
	if envelope.PayloadType != "application/vnd.in-toto+json" {
		t.Errorf("the envelope holds %q", envelope.PayloadType)
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		t.Fatal(err)
	}
	var statement struct {
		Type          string `json:"_type"`
		PredicateType string
		Subject       []struct {
			Name   string
			Digest map[string]string
		}
		Predicate struct {
			BuildDefinition struct {
				ExternalParameters   map[string]string
				ResolvedDependencies []struct{ Digest map[string]string }
			}
		}
	}
	if err := json.Unmarshal(payload, &statement); err != nil {
		t.Fatal(err)
	}
	if statement.Type != "https://in-toto.io/Statement/v1" ||
		statement.PredicateType != "https://slsa.dev/provenance/v1" {
		t.Errorf("a %s about %s", statement.Type, statement.PredicateType)
	}
	build := statement.Predicate.BuildDefinition
	if diff := cmp.Diff(map[string]string{"version": "v0.2.0",
		"image": "registry.example/team/epitaph"}, build.ExternalParameters); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if len(build.ResolvedDependencies) == 0 ||
		len(build.ResolvedDependencies[0].Digest["gitCommit"]) != 40 {
		t.Errorf("made of %v, want a commit", build.ResolvedDependencies)
	}
	want := map[string]string{}
	for name, content := range files {
		switch name {
		case "epitaph.intoto.jsonl", "epitaph.pub", "SHA256SUMS", "SHA256SUMS.sig":
		default:
			want[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
		}
	}
	got := map[string]string{}
	for _, s := range statement.Subject {
		got[s.Name] = s.Digest["sha256"]
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("subjects (-want +got):\n%s", diff)
	}
}

func TestReleaseRefuses(t *testing.T) {
	p := aProgram(t)
	p.commit(t)
	elliptic, edwards := newKey(t), filepath.Join(t.TempDir(), "edwards.key")
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, edwards,
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	for what, c := range map[string]struct{ version, key, says string }{
		"a commit":       {"401f1d4", elliptic, "make release VERSION=v1.2.3"},
		"no v":           {"0.2.0", elliptic, "make release VERSION=v1.2.3"},
		"build metadata": {"v0.2.0+one", elliptic, "make release VERSION=v1.2.3"},
		"two numbers":    {"v0.2", elliptic, "make release VERSION=v1.2.3"},
		"no key there":   {"v0.2.0", "nowhere.key", "read the signing key: open nowhere.key"},
		"another key":    {"v0.2.0", edwards, "it is not for ECDSA on P-256"},
		"not a key":      {"v0.2.0", filepath.Join(p.checkout, "LICENSE"), "is not in PEM"},
	} {
		said, err := p.run(t, nil, "release", "--version", c.version, "--key", c.key)
		if err == nil || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v, said\n%s\nwant %q", what, err, said, c.says)
		}
	}
	writeFile(t, filepath.Join(p.checkout, "LICENSE"), "another\n")
	said, err := p.run(t, nil, "release", "--version", "v0.2.0")
	if err == nil || !strings.Contains(said, "not as committed") ||
		!strings.Contains(said, "LICENSE") {
		t.Errorf("changed sources: %v, said\n%s", err, said)
	}
	if files, err := os.ReadDir(p.out); err != nil || len(files) > 0 {
		t.Errorf("a release that was refused leaves %v (%v)", files, err)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(content)
	}
	return files
}

func sorted(files map[string]string) (names []string) {
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
