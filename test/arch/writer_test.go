package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Edges get a reader and the terminator. A client.Client in an edge would let a stray Delete
// compile.
func TestEdgesHoldNoWritingClient(t *testing.T) {
	t.Parallel()
	for _, edge := range []string{"webhook", "gc", "netconsole", "agent", "aftermath",
		"story/lookup", "page", "story"} {
		for _, finding := range writingClients(t, filepath.Join("../..", edge)) {
			t.Errorf(
				"%s: an edge names a client that can write; take a client.Reader and a *termination.Terminator", finding)
		}
	}
}

// writingClients lists where a folder's files name client.Client or client.Writer.
func writingClients(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") ||
			strings.HasSuffix(path, "_test.go") {
			return nil //nolint:nilerr // an edge that does not exist yet holds no client
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "client" &&
				(s.Sel.Name == "Client" || s.Sel.Name == "Writer" || s.Sel.Name == "StatusClient") {
				found = append(found, files.Position(s.Pos()).String())
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
