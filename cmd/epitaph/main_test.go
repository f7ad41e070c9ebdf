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
		return strings.ReplaceAll(review, "system:serviceaccount:kube-system:node-controller", "alice")
	}
	database := func(review string) string {
		return strings.ReplaceAll(person(review), "namespace: shop, uid", "namespace: shop, labels: {app: db}, uid")
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
			args := []string{"policy", "test", "-f", "testdata/config.yaml", "--review", file, "--objects", "testdata/objects.yaml"}
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
	changed := strings.NewReplacer("HardwareFailure", "NodeDrained", "config.yaml", here+"/config.yaml", "objects.yaml", here+"/objects.yaml",
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
	if !errors.Is(err, policytest.ErrFailed) || !strings.Contains(out.String(), `code: is "HardwareFailure", want "NodeDrained"`) ||
		!strings.Contains(out.String(), right+": 1 passed, 0 failed") {
		t.Errorf("ended with %v:\n%s", err, out.String())
	}
}

func TestBadInputNamesTheRemedy(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("webhook: {rules: [{name: a, action: Fill, expression: 'usr == 1'}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	objects := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(objects, []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\nkind: Secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	review := "testdata/review.yaml"
	tests := map[string]struct {
		args []string
		want string
	}{
		"missing configuration":     {[]string{"manager", "--config", "/none"}, "name an existing file with --config"},
		"missing review":            {[]string{"policy", "test", "-f", "testdata/config.yaml", "--review", "/none"}, "read the review: open /none"},
		"a review that is none":     {[]string{"policy", "test", "-f", "testdata/config.yaml", "--review", "testdata/objects.yaml"}, "read the review testdata/objects.yaml"},
		"a broken expression":       {[]string{"policy", "test", "-f", broken, "--review", review}, "webhook.rules[0].expression: ERROR: <input>:1:1: undeclared reference to 'usr'"},
		"an object without version": {[]string{"policy", "test", "-f", "testdata/config.yaml", "--review", review, "--objects", objects}, "document 2: apiVersion: of the Secret is missing: write it as kubectl get -o yaml prints it"},
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
	tests := map[string][]string{
		"no command":                        {},
		"unknown command":                   {"mangaer"},
		"no configuration":                  {"manager"},
		"extra arguments":                   {"manager", "--config", "x", "y"},
		"half a command":                    {"policy"},
		"no review":                         {"policy", "test", "-f", "testdata/config.yaml"},
		"nothing to test":                   {"policy", "test"},
		"a test, and what goes without one": {"policy", "test", "-f", "testdata/config.yaml", "test.yaml"},
	}
	for name, args := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if err := run(t.Context(), args, &out, &out); !errors.Is(err, errUsage) {
				t.Errorf("ended with %v, want the usage", err)
			}
		})
	}
}
