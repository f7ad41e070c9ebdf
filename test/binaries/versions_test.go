package binaries

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/version"
)

// unreleased is how k8s.io/kubernetes asks for its staging modules, and so does test/controlplane
// for those that it does not name itself.
const unreleased = "v0.0.0"

// TestModulesShareVersions: a package is compiled once for all programs of the tests if each of
// their modules takes it, and all that it imports, in the same version. Kueue alone takes a quarter
// of an hour of one core otherwise, most of it for another client-go.
func TestModulesShareVersions(t *testing.T) {
	t.Parallel()
	checkout, err := Checkout()
	if err != nil {
		t.Fatal(err)
	}
	want := required(t, filepath.Join(checkout, ControlPlane.Dir))
	for _, group := range []Group{Kubelet, Karpenter, NPD, Kueue} {
		t.Run(group.Name, func(t *testing.T) {
			t.Parallel()
			var edits []string
			shared := 0
			for path, has := range required(t, filepath.Join(checkout, group.Dir)) {
				other, both := want[path]
				switch {
				case !both || slices.Contains([]string{has, other}, unreleased):
				case has == other:
					shared++
				default:
					if newer(t, has, other) {
						edits = append(edits, "-exclude="+path+"@"+has)
					}
					edits = append(edits, "-require="+path+"@"+other)
				}
			}
			if shared == 0 {
				t.Errorf("%s and %s have no module in common", group.Dir, ControlPlane.Dir)
			}
			if slices.Sort(edits); len(edits) > 0 {
				t.Errorf("%[1]s has other versions than %[2]s:\n"+
					"go -C %[1]s mod edit %[3]s && go -C %[1]s mod tidy",
					group.Dir, ControlPlane.Dir, strings.Join(edits, " "))
			}
		})
	}
}

func newer(t *testing.T, a, b string) bool {
	t.Helper()
	parsed, err := version.ParseSemantic(a)
	if err != nil {
		t.Fatal(err)
	}
	than, err := version.ParseSemantic(b)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.GreaterThan(than)
}

// required are the versions of all modules that the go.mod in dir requires.
func required(t *testing.T, dir string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = dir
	said, err := cmd.Output()
	if err != nil {
		t.Fatal(withStderr(err))
	}
	var mod struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(said, &mod); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, r := range mod.Require {
		versions[r.Path] = r.Version
	}
	return versions
}
