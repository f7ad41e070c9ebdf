package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/webhook/policytest"
)

func TestPolicyTestTellsDecisionAndRule(t *testing.T) {
	t.Parallel()
	person := func(review string) string {
		return strings.ReplaceAll(review, "system:serviceaccount:kube-system:node-controller",
			"alice")
	}
	database := func(review string) string {
		return strings.ReplaceAll(person(review),
			"namespace: shop, uid", "namespace: shop, labels: {app: db}, uid")
	}
	tests := map[string]struct {
		change func(string) string
		want   string
	}{
		"a component evicts from a broken disk": {
			func(review string) string { return review },
			`decision  allowed
rule      the-rest-is-filled-in
code      HardwareFailure
reason    This pod had to be terminated because the underlying hardware failed (ReadonlyFilesystem: FilesystemIsReadOnly)
by        system:serviceaccount:kube-system:node-controller
`,
		},
		"a person deletes a pod": {
			person,
			`decision  allowed
rule      the-rest-is-filled-in
code      Unexplained
reason    Nobody said why this pod was deleted, and nothing could be inferred (deleted by alice)
by        alice
`,
		},
		"a person deletes a database": {
			database,
			`decision  denied
rule      databases-are-nobody-s-toy
message   pod orders-0 must not leave without a reason (rule "databases-are-nobody-s-toy"): the reason is empty. Say why, then delete it:
  kubectl annotate pod orders-0 -n shop --overwrite pod.titus.netflix.com/pod-termination-reason='WHY IT HAS TO GO'
  kubectl delete pod orders-0 -n shop
`,
		},
	}
	review, err := os.ReadFile("testdata/review.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "review.yaml")
			if err := os.WriteFile(file, []byte(tc.change(string(review))), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			args := []string{"policy", "test", "-f", "testdata/config.yaml", "--review", file,
				"--objects", "testdata/objects.yaml"}
			if err := run(t.Context(), args, &out, &out); err != nil {
				t.Fatal(err)
			}
			if out.String() != tc.want {
				t.Errorf("printed\n%s\nwant\n%s", out.String(), tc.want)
			}
		})
	}
}

// The exit code says whether everything came as expected, and all files are tried.
func TestPolicyTestFiles(t *testing.T) {
	t.Parallel()
	const right = "testdata/test.yaml"
	data, err := os.ReadFile(right)
	if err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	changed := strings.NewReplacer("HardwareFailure", "NodeDrained", "config.yaml",
		here+"/config.yaml", "objects.yaml", here+"/objects.yaml",
		"review.yaml", here+"/review.yaml").Replace(string(data))
	if err := os.WriteFile(wrong, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"policy", "test", right}, &out, &out); err != nil {
		t.Errorf("ended with %v:\n%s", err, out.String())
	}
	out.Reset()
	err = run(t.Context(), []string{"policy", "test", wrong, right}, &out, &out)
	if !errors.Is(err, policytest.ErrFailed) ||
		!strings.Contains(out.String(), `code: is "HardwareFailure", want "NodeDrained"`) ||
		!strings.Contains(out.String(), right+": 1 passed, 0 failed") {
		t.Errorf("ended with %v:\n%s", err, out.String())
	}
}

func TestBadInputNamesTheRemedy(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken,
		[]byte("webhook: {rules: [{name: a, action: Fill, expression: 'usr == 1'}]}"),
		0o600); err != nil {
		t.Fatal(err)
	}
	objects := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(objects,
		[]byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\nkind: Secret\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	review := "testdata/review.yaml"
	tests := map[string]struct {
		args []string
		want string
	}{
		"missing configuration": {[]string{"manager", "--config", "/none"},
			"name an existing file with --config"},
		"missing review": {[]string{"policy", "test", "-f", "testdata/config.yaml",
			"--review", "/none"}, "read the review: open /none"},
		"a review that is none": {[]string{"policy", "test", "-f", "testdata/config.yaml",
			"--review", "testdata/objects.yaml"}, "read the review testdata/objects.yaml"},
		"a broken expression": {[]string{"policy", "test", "-f", broken, "--review", review},
			"webhook.rules[0].expression: ERROR: <input>:1:1: undeclared reference to 'usr'"},
		"an object without version": {[]string{"policy", "test", "-f", "testdata/config.yaml",
			"--review", review, "--objects",
			objects}, "document 2: apiVersion: of the Secret is missing: write it as kubectl get -o yaml prints it"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := run(t.Context(), tc.args, &out, &out)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ended with %v, want %q", err, tc.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args []string
		want string
	}{
		"no command": {nil,
			`usage: name a command ("epitaph --help" shows how)`},
		"unknown command": {[]string{"mangaer"},
			`usage: there is no command "mangaer": did you mean manager? ("epitaph --help" shows how)`},
		"nothing like a command": {[]string{"bury"},
			`usage: there is no command "bury" ("epitaph --help" shows how)`},
		"unknown flag": {[]string{"manager", "--conf", "x"},
			`usage: unknown flag: --conf ("epitaph manager --help" shows how)`},
		"no configuration": {[]string{"manager"},
			`usage: --config is missing: name the configuration file ("epitaph manager --help" shows how)`},
		"extra arguments": {[]string{"manager", "--config", "x", "y"},
			`usage: it takes no arguments, and was given "y" ("epitaph manager --help" shows how)`},
		"arguments of version": {[]string{"version", "y"},
			`usage: it takes no arguments, and was given "y" ("epitaph version --help" shows how)`},
		"nothing to stay for": {[]string{"agent", "--stay"},
			`usage: --stay goes with --remove alone: without either, the agent stays ("epitaph agent --help" shows how)`},
		"two things at once": {[]string{"agent", "--once", "--remove"},
			`usage: --once, --dry-run and --remove exclude each other: choose one ("epitaph agent --help" shows how)`},
		"half a command": {[]string{"policy"},
			`usage: name a command ("epitaph policy --help" shows how)`},
		"half a command, and a wrong one": {[]string{"policy", "tset"},
			`usage: there is no command "tset": did you mean test? ("epitaph policy --help" shows how)`},
		"no review": {
			[]string{"policy", "test", "-f", "testdata/config.yaml"},
			`usage: --review is missing: name a file with the request that the API server would send ("epitaph policy test --help" shows how)`},
		"no configuration of a review": {[]string{"policy", "test", "--review", "x"},
			`usage: -f is missing: name the configuration file ("epitaph policy test --help" shows how)`},
		"nothing to test": {[]string{"policy", "test"},
			`usage: name the files of tests, or a configuration with -f and a request with --review ("epitaph policy test --help" shows how)`},
		"a test, and what goes without one": {
			[]string{"policy", "test", "-f", "testdata/config.yaml", "test.yaml"},
			`usage: a test names its configuration, reviews and objects itself: leave out -f, --review and --objects ("epitaph policy test --help" shows how)`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := run(t.Context(), tc.args, &out, &out)
			if !errors.Is(err, errUsage) || exitCode(err) != 2 || err.Error() != tc.want {
				t.Errorf("ended with %v, want %s", err, tc.want)
			}
			if out.String() != "" {
				t.Errorf("it printed %q beside the error", out.String())
			}
		})
	}
}

// Who asks for help gets it, on stdout, and the flags have the names that charts, units and people
// use.
func TestHelp(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"":        {"manager", "agent", "policy", "version", "--version"},
		"manager": {"--config", "--kubeconfig", "-v, --v"},
		"agent": {"--config", "--kubeconfig", "-v, --v", "--node", "--listeners", "--once",
			"--dry-run", "--remove"},
		"policy":      {"test"},
		"policy test": {"-f, --config", "--review", "--objects", "epitaph policy test -f CONFIG"},
		"version":     {"Print the version"},
	}
	for line, want := range tests {
		for _, flag := range []string{"-h", "--help"} {
			t.Run(line+" "+flag, func(t *testing.T) {
				t.Parallel()
				var out, errOut strings.Builder
				if err := run(t.Context(), append(strings.Fields(line), flag), &out,
					&errOut); err != nil || errOut.String() != "" {
					t.Fatalf("ended with %v: %s", err, errOut.String())
				}
				for _, name := range want {
					if !strings.Contains(out.String(), name) {
						t.Errorf("it lacks %s:\n%s", name, out.String())
					}
				}
			})
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "--version"} {
		var out strings.Builder
		if err := run(t.Context(), []string{arg}, &out, &out); err != nil ||
			!strings.HasPrefix(out.String(), "epitaph ") ||
			!strings.HasSuffix(out.String(), version+"\n") {
			t.Errorf("%s: got %q, %v", arg, out.String(), err)
		}
	}
}
