package krew

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const testVersion = "v0.0.0-test"

// native is where the tests run: there, the program can be run.
var native = Platform{runtime.GOOS, runtime.GOARCH}

func pack(t *testing.T, checkout string, of ...Platform) (m Plugin, out string) {
	t.Helper()
	m, err := Recipe{Checkout: checkout, Version: testVersion, URL: Releases,
		Platforms: of}.Make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out = t.TempDir()
	if err := m.Write(out); err != nil {
		t.Fatal(err)
	}
	return m, out
}

// Neither the folder nor the repository in which it is packed shows in the archive, and what is
// packed is what krew installs and kubectl runs.
//
// Not in parallel with the others: two runs of Go at once would both compile what neither has yet.
func TestPluginIsTheSameAnywhereAndInstalls(t *testing.T) {
	const checkout = "../.."
	here, out := pack(t, checkout, native)
	there, _ := pack(t, copyOfSources(t, checkout), native)
	if string(here.manifest) != string(there.manifest) {
		t.Errorf("packed in the checkout:\n%s\nin a copy elsewhere:\n%s", here.manifest,
			there.manifest)
	}
	k := newKrew(t)
	k.install(t, out, here.Archives[0])
	if got, want := k.kubectl(t, "epitaph", "--version"),
		"kubectl epitaph version "+testVersion+"\n"; got != want {
		t.Errorf("kubectl runs %q, want %q", got, want)
	}
}

// krew finds each platform's archive in the one manifest. A program of one line stands for the
// plugin, which takes minutes to compile for a machine that this is not.
func TestPlatforms(t *testing.T) {
	m, out := pack(t, stub(t, "func main() { print(version) }"), Platforms...)
	validate(t, filepath.Join(out, ManifestName))
	for _, a := range m.Archives {
		t.Run(a.OS+"-"+a.Arch, func(t *testing.T) {
			want := []string{"LICENSE", "kubectl-epitaph"}
			if a.OS == "windows" {
				want[1] = "kubectl-epitaph.exe"
			}
			k := newKrew(t)
			k.install(t, out, a)
			if got := k.installed(t); strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("krew installs %q, want %q", got, want)
			}
		})
	}
}

// An archive that somebody changed is refused: the manifest has the digest of what was packed.
func TestChangedArchive(t *testing.T) {
	m, out := pack(t, stub(t, "func main() {}"), native)
	name := filepath.Join(out, m.Archives[0].Name)
	if err := os.WriteFile(name, append(m.Archives[0].content, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := newKrew(t).run(t, m.Archives[0].Platform,
		"install", "--manifest="+filepath.Join(out, ManifestName), "--archive="+name)
	if err == nil ||
		!strings.Contains(said, "checksum does not match, want: "+m.Archives[0].SHA256) {
		t.Errorf("krew says %v, %s; want it to refuse", err, said)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		version, checkout, want string
	}{
		"a commit": {"401f1d4", ".",
			`pack version "401f1d4": krew takes versions such as v1.2.3 only: make plugin VERSION=v1.2.3`},
		"no version": {"", ".",
			`pack version "": krew takes versions such as v1.2.3 only: make plugin VERSION=v1.2.3`},
		"no v": {"1.2.3", ".",
			`pack version "1.2.3": krew takes versions such as v1.2.3 only: make plugin VERSION=v1.2.3`},
		"sources are elsewhere": {"v1.2.3", "nowhere",
			"read the license: open nowhere/LICENSE: no such file or directory"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Recipe{Version: tc.version, Checkout: tc.checkout,
				Platforms: Platforms}.Make(t.Context())
			if err == nil || err.Error() != tc.want {
				t.Errorf("error = %v, want %s", err, tc.want)
			}
		})
	}
}
