package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The names of metrics are an interface: each is documented, and nothing is documented that is not there.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	inCode := map[string]bool{}
	literal := regexp.MustCompile(`"(epitaph_[a-z_]+)"`)
	for _, dir := range []string{"webhook", "gc", "netconsole", "audit", "agent", "aftermath", "certs", "termination"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
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
