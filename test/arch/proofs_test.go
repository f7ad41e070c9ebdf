package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	testFunc = regexp.MustCompile(`(?m)^func (\w+)\(\w+ \*testing\.[TFB]\)`)
	// partName is how a page names a part of a test: e2e "a living node vetoes".
	partName = regexp.MustCompile(`e2e ("[^"]+")`)
	// proofs heads the column that names what shows a row to be true.
	proofs = "where it is shown"
)

// tests are the names of all tests, and what the sources of those in test/e2e say.
func tests(t *testing.T) (names map[string]bool, e2e string) {
	t.Helper()
	names = map[string]bool{}
	var sources strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(source, -1) {
			names[string(m[1])] = true
		}
		if filepath.Base(filepath.Dir(path)) == "e2e" {
			sources.Write(source)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 100 {
		t.Fatalf("only %d tests were found", len(names))
	}
	return names, sources.String()
}

// A page that names a test as proof names one that there is.
func TestProofsExist(t *testing.T) {
	t.Parallel()
	names, e2e := tests(t)
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range append(pages, "../../README.md", "../../CONTRIBUTING.md") {
		content, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range testName.FindAllString(string(content), -1) {
			if named++; !names[name] {
				t.Errorf("%s names %s, and there is no such test", filepath.Base(page), name)
			}
		}
		for _, m := range partName.FindAllStringSubmatch(string(content), -1) {
			if named++; !strings.Contains(e2e, m[1]) {
				t.Errorf("%s names %s, and no test of test/e2e has such a part",
					filepath.Base(page), m[1])
			}
		}
	}
	if named < 100 {
		t.Errorf("the pages name only %d tests", named)
	}
}

// Every threat of docs/security.md has a test.
func TestEveryThreatHasATest(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, within := 0, false
	for line := range strings.Lines(string(content)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		switch {
		case !strings.HasPrefix(line, "|"):
			within = false
		case last == proofs:
			within = true
		case within && strings.Trim(last, "-") != "":
			if rows++; !testName.MatchString(last) && !partName.MatchString(last) {
				t.Errorf("no test is named against the threat %q", strings.TrimSpace(cells[0]))
			}
		}
	}
	if rows < 40 {
		t.Errorf("docs/security.md has only %d threats", rows)
	}
}
