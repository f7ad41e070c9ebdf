package arch

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The names of metrics are an interface: each is documented, and nothing is documented that is not
// there.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	inCode := map[string]bool{}
	literal := regexp.MustCompile(`"(epitaph_[a-z_]+)"`)
	for _, dir := range []string{"webhook", "gc", "netconsole", "audit", "agent", "aftermath",
		"archive", "certs", "cloud", "termination", "page", "internal", "cmd/epitaph"} {
		err := filepath.WalkDir(filepath.Join("../..", dir),
			func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") ||
					strings.HasSuffix(path, "_test.go") {
					return nil //nolint:nilerr // a package that does not exist yet has no metrics
				}
				source, err := os.ReadFile(path)
				for _, m := range literal.FindAllSubmatch(source, -1) {
					inCode[string(m[1])] = true
				}
				return err
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(epitaph_[a-z_]+)`").FindAllSubmatch(page, -1) {
		documented = append(documented, string(m[1]))
	}
	if len(documented) == 0 {
		t.Fatal("docs/metrics.md lists no metric")
	}
	for name := range inCode {
		if !slices.Contains(documented, name) {
			t.Errorf("%s is not in docs/metrics.md", name)
		}
	}
	for _, name := range documented {
		if !inCode[name] {
			t.Errorf("%s is in docs/metrics.md, but no code has it", name)
		}
	}
}

// row is a metric of docs/metrics.md: its name, its type and its labels.
var row = regexp.MustCompile("(?m)^\\| `(epitaph_[a-z_]+)` \\| (\\w+) \\|([^|]*)\\|")

// The alerts, what tests them, and the dashboard ask for nothing that is not there.
func TestMetricsOfTheChartExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		name, all := m[1], regexp.MustCompile("[a-z]+").FindAllString(m[3], -1)
		labels[name] = all
		if m[2] == "histogram" {
			delete(labels, name)
			labels[name+"_bucket"], labels[name+"_count"], labels[name+"_sum"] = append(all, "le"),
				all, all
		}
	}
	used := 0
	for _, file := range []string{"charts/epitaph/files/alerts.yaml",
		"charts/epitaph/files/alerts-archive.yaml", "charts/epitaph/files/dashboard.json", "test/chart/testdata/alerts.yaml"} {
		content, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(epitaph_[a-z_]+)(\{[^}]*\})?`).FindAllStringSubmatch(
			string(content), -1) {
			known, ok := labels[m[1]]
			if !ok {
				t.Errorf("%s: no metric has the name %s", file, m[1])
			}
			for _, label := range regexp.MustCompile(`([a-z]+)\\?(=~|=)`).FindAllStringSubmatch(
				m[2], -1) {
				// Prometheus adds these when it reads the metrics.
				if !slices.Contains(append([]string{"pod", "instance", "node", "cluster", "namespace"}, known...),
					label[1]) {
					t.Errorf("%s: %s has no label %s", file, m[1], label[1])
				}
			}
			used++
		}
	}
	if used == 0 {
		t.Error("nothing uses any metric")
	}
}

// The alert on panics knows each controller of ours: others may run in the same cluster, and count
// theirs under the same name.
func TestPanicsOfEveryControllerRaiseAnAlert(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var controllers []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (?:every replica|the leader) \\|").
		FindAllStringSubmatch(string(page), -1) {
		controllers = append(controllers, m[1])
	}
	queue := regexp.MustCompile(`Queue\w*\s*=\s*"([a-z-]+)"`)
	eachProductFile(t, func(path string, _ *ast.File, _ *token.FileSet) {
		source, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range queue.FindAllStringSubmatch(string(source), -1) {
			controllers = slices.DeleteFunc(controllers,
				func(name string) bool { return name == m[1] })
		}
	})
	alerts, err := os.ReadFile("../../charts/epitaph/files/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`controller_runtime_reconcile_panics_total\{controller=~"([^"]+)"\}`).
		FindStringSubmatch(string(alerts))
	if m == nil {
		t.Fatal("no alert is about panics of controllers")
	}
	alerted := strings.Split(m[1], "|")
	slices.Sort(alerted)
	slices.Sort(controllers)
	if !slices.Equal(alerted, controllers) {
		t.Errorf("the alert is about %v, the controllers of docs/metrics.md are %v", alerted,
			controllers)
	}
}
