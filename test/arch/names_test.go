package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// glossary is the file whose names are written nowhere else.
const glossary = "reason/names.go"

// eachProductFile calls f with each Go file of the product, tests and generated code apart.
func eachProductFile(t *testing.T, f func(path string, file *ast.File, set *token.FileSet)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel("../..", path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (rel == "test" || strings.HasPrefix(d.Name(), ".") && rel != "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file) {
			f(rel, file, set)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// literals calls f with each string literal of a file.
func literals(file *ast.File, f func(value string, at token.Pos)) {
	ast.Inspect(file, func(n ast.Node) bool {
		if _, imported := n.(*ast.ImportSpec); imported {
			return false
		}
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if value, err := strconv.Unquote(l.Value); err == nil {
				f(value, l.Pos())
			}
		}
		return true
	})
}

// What must be equal in several packages is equal because it is written once.
func TestNamesAreWrittenOnce(t *testing.T) {
	t.Parallel()
	names := map[string]int{}
	eachProductFile(t, func(path string, file *ast.File, _ *token.FileSet) {
		if path == glossary {
			literals(file, func(value string, _ token.Pos) { names[value]++ })
		}
	})
	if names["an unknown remover"] != 1 || len(names) < 11 {
		t.Fatalf("%s holds %v", glossary, names)
	}
	eachProductFile(t, func(path string, file *ast.File, set *token.FileSet) {
		literals(file, func(value string, at token.Pos) {
			if path != glossary && forGlossary(names, value) {
				t.Errorf("%s: %q belongs in %s: use its constant", set.Position(at), value,
					glossary)
			}
		})
	})
}

// forGlossary tells whether a text is in the glossary, or is a key of ours that should be.
func forGlossary(names map[string]int, value string) bool {
	_, key, ours := strings.Cut(value, "epitaph-k8s.io/")
	return names[value] > 0 || ours && value == "epitaph-k8s.io/"+key &&
		!strings.ContainsAny(key, "/ ") &&
		!strings.HasPrefix(key, "v1")
}
