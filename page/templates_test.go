package page

import (
	"io/fs"
	"regexp"
	"testing"
)

// The Content-Security-Policy blocks what these match: a page that needs it would be broken, not
// unsafe.
var refused = regexp.MustCompile(`(?i)<script|<style|style=|\son[a-z]+=|javascript:|https?://`)

func TestTemplatesNeedNoScriptAndNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(files, "templates/*")
	if err != nil || len(names) < 7 {
		t.Fatalf("the templates are %v, %v", names, err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		if found := refused.Find(text); found != nil {
			t.Errorf("%s has %q", name, found)
		}
	}
}
