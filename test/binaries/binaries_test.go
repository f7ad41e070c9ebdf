package binaries

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// aModule is a checkout with one nested module, of one program that depends on nothing but the
// standard library.
func aModule(t *testing.T) (checkout string, group Group) {
	t.Helper()
	checkout = t.TempDir()
	write(t, filepath.Join(checkout, "nested", "go.mod"),
		"module example.com/nested\n\ngo 1.26.0\n")
	write(t, filepath.Join(checkout, "nested", "go.sum"), "")
	write(t, filepath.Join(checkout, "nested", "hello", "main.go"),
		"package main\n\nfunc main() { println(\"hello\") }\n")
	return checkout, Group{
		Name: "nested", Dir: "nested", Programs: map[string]string{"greeter": "./hello"},
		Sources: []string{"hello"}, LDFlags: "-s -w",
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func keyOf(t *testing.T, checkout string, group Group, version string) string {
	t.Helper()
	k, err := key(checkout, group, version)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyHoldsEverythingThatIsBuilt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, checkout string, group *Group,
		version *string){
		"go.mod": func(t *testing.T, c string, _ *Group, _ *string) {
			write(t, c+"/nested/go.mod", "module example.com/n\n")
		},
		"go.sum": func(t *testing.T, c string, _ *Group, _ *string) {
			write(t, c+"/nested/go.sum", "example.com/x v1 h1:\n")
		},
		"a source": func(t *testing.T, c string, _ *Group, _ *string) {
			write(t, c+"/nested/hello/main.go", "package main\n")
		},
		"a new file": func(t *testing.T, c string, _ *Group,
			_ *string) {
			write(t, c+"/nested/hello/b.go", "package main\n")
		},
		"Go":      func(_ *testing.T, _ string, _ *Group, v *string) { *v = "go1.27" },
		"ldflags": func(_ *testing.T, _ string, g *Group, _ *string) { g.LDFlags = "" },
		"tags":    func(_ *testing.T, _ string, g *Group, _ *string) { g.Tags = "small" },
		"a file that is left out": func(_ *testing.T, _ string, g *Group, _ *string) {
			g.LeftOut = map[string]string{"example.com/m": "generated.go"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkout, group := aModule(t)
			version := "go1.26"
			before := keyOf(t, checkout, group, version)
			change(t, checkout, &group, &version)
			if after := keyOf(t, checkout, group, version); after == before {
				t.Errorf("the key stays %s", after)
			}
		})
	}
}

func TestKeyIsTheSameInEveryCheckout(t *testing.T) {
	t.Parallel()
	here, group := aModule(t)
	there, _ := aModule(t)
	write(t, filepath.Join(there, "nested", "README"), "no source of any program")
	if a, b := keyOf(t, here, group, "go1.26"), keyOf(t, there, group, "go1.26"); a != b {
		t.Errorf("keys differ: %s, %s", a, b)
	}
}

func TestAssetsAreLookedIntoFirst(t *testing.T) {
	t.Parallel()
	assets := t.TempDir()
	write(t, filepath.Join(assets, "etcd"), "#!/bin/sh\n")
	if err := os.WriteFile(filepath.Join(assets, "kubectl"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	paths := Paths{}
	missing := fromAssets(assets, ControlPlane, paths)
	if diff := cmp.Diff(Paths{"etcd": filepath.Join(assets, "etcd")}, paths); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	// kubectl is there, but nobody may execute it.
	want := []string{"cloud-controller-manager", "kube-apiserver", "kube-controller-manager",
		"kube-scheduler", "kubectl"}
	if diff := cmp.Diff(want, missing); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestWithoutAssetsAllIsMissing(t *testing.T) {
	t.Parallel()
	if missing := fromAssets("", Tools, Paths{}); len(missing) != 1 || missing[0] != "kwok" {
		t.Errorf("missing = %v, want kwok", missing)
	}
}

func TestBuildOnceForTwoRuns(t *testing.T) {
	t.Parallel()
	checkout, group := aModule(t)
	dir := filepath.Join(t.TempDir(), "cache")
	var outs [2]bytes.Buffer
	errs := make(chan error, len(outs))
	for i := range outs {
		job := buildJob{group: group, module: filepath.Join(checkout, "nested"), dir: dir,
			out: &outs[i]}
		go func() { errs <- job.ensure(t.Context(), []string{"greeter"}) }()
	}
	for range outs {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(outs[0].String()+outs[1].String(), "built nested in "); n != 1 {
		t.Errorf("built %d times, want once:\n%s%s", n, &outs[0], &outs[1])
	}
	said, err := exec.CommandContext(t.Context(), filepath.Join(dir, "greeter")).CombinedOutput()
	if err != nil || string(said) != "hello\n" {
		t.Errorf("the program says %q, %v", said, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".unfinished-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFailedBuildShowsWhatTheCompilerSaid(t *testing.T) {
	t.Parallel()
	checkout, group := aModule(t)
	write(t, filepath.Join(checkout, "nested", "hello", "main.go"),
		"package main\n\nfunc main() { greet() }\n")
	job := buildJob{group: group, module: filepath.Join(checkout, "nested"), dir: t.TempDir(),
		out: t.Output()}
	err := job.ensure(t.Context(), []string{"greeter"})
	if err == nil || !strings.Contains(err.Error(), "hello/main.go:3:15: undefined: greet") {
		t.Errorf("error = %v, want the compiler's", err)
	}
	if isProgram(filepath.Join(job.dir, "greeter")) {
		t.Error("a program is there after a failed build")
	}
}

// comparer is go-cmp, since Go's module cache has it wherever these tests run.
const comparer = "github.com/google/go-cmp"

func TestFileOfAModuleIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ file, complaint string }{
		"what nobody needs":   {file: "README.md"},
		"what is needed":      {file: "cmp/path.go", complaint: "undefined: Path"},
		"what there is not":   {file: "cmp/gone.go", complaint: "correct LeftOut of nested in group.go"},
		"outside of a module": {file: "../go.mod", complaint: "correct LeftOut of nested in group.go"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkout, group := aModule(t)
			module := filepath.Join(checkout, "nested")
			sums, err := os.ReadFile("../../go.sum")
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(module, "go.sum"), string(sums))
			write(t, filepath.Join(module, "go.mod"),
				"module example.com/nested\n\ngo 1.26.0\n\nrequire "+comparer+" v0.7.0\n")
			write(t, filepath.Join(module, "hello", "main.go"),
				"package main\n\nimport \""+comparer+"/cmp\"\n\nfunc main() { println(cmp.Equal(1, 1)) }\n")
			group.LeftOut = map[string]string{comparer: test.file}
			job := buildJob{group: group, module: module, dir: t.TempDir(), out: t.Output()}
			err = job.ensure(t.Context(), []string{"greeter"})
			switch {
			case test.complaint == "" && err != nil:
				t.Error(err)
			case test.complaint != "" && (err == nil || !strings.Contains(err.Error(), test.complaint)):
				t.Errorf("error = %v, want %s", err, test.complaint)
			}
		})
	}
}

func TestWaitForTheLockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	if _, err := lock(ctx, path, &out); err == nil {
		t.Error("the lock was taken twice")
	}
	if !strings.HasPrefix(out.String(),
		"another run is building the same programs; waiting for it") {
		t.Errorf("told %q", &out)
	}
}

func TestProgressCountsPackagesAndKeepsComplaints(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	p := newProgress(t.Output(), []string{"fmt", "k8s.io/api/core/v1", "example.com/a"}, began)
	if got, want := p.line(began.Add(5*time.Second)),
		"    5s  nothing to compile so far (3 packages), linking"; got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for _, line := range []string{"fmt", "fmt", "# example.com/a", "a.go:1:1: oh no",
			"k8s.io/api/core/v1"} {
			lines <- line
		}
	}()
	p.follow(lines, nil)
	got, want := p.line(began.Add(65*time.Second)),
		"  1m5s  compiled 2 of at most 3 packages, now k8s.io/api/core/v1"
	if got != want {
		t.Errorf("line = %q, want %q", got, want)
	}
	if got, want := p.complaints(), "fmt\n# example.com/a\na.go:1:1: oh no"; got != want {
		t.Errorf("complaints = %q, want %q", got, want)
	}
}

func TestProgressBoundsComplaints(t *testing.T) {
	t.Parallel()
	p := newProgress(t.Output(), nil, time.Time{})
	for range 10_000 {
		p.take("an error")
	}
	if n := strings.Count(p.complaints(), "an error"); n != 200 {
		t.Errorf("%d complaints are kept, want 200", n)
	}
}

func TestNameThatGoGivesAProgram(t *testing.T) {
	t.Parallel()
	for pkg, want := range map[string]string{
		"go.etcd.io/etcd/server/v3":   "server",
		"sigs.k8s.io/kwok/cmd/kwok":   "kwok",
		"./cloud-controller-manager":  "cloud-controller-manager",
		"example.com/cmd/vim":         "vim",
		"example.com/cmd/v/something": "something",
	} {
		if got := builtAs(pkg); got != want {
			t.Errorf("%s is built as %q, want %q", pkg, got, want)
		}
	}
}

func TestWithoutGoOnPath(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := goVersion(t.Context(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(),
		"install Go (https://go.dev/dl) and put its bin folder on PATH") {
		t.Errorf("error = %v, want the remedy", err)
	}
}
