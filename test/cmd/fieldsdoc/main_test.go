package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const root = "../../.."

func TestPagesAreCurrent(t *testing.T) {
	t.Parallel()
	for file, write := range map[string]func(string) (string, error){
		"configuration.md": renderConfig, "records.md": renderRecords} {
		want, err := write(root)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(root, "docs", file))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("docs/%s is not what would be generated: run make generate "+
				"(-generated +committed):\n%s", file, diff)
		}
	}
}

// Bounds, defaults and comments arrive, once for the fields of a list.
func TestConfig(t *testing.T) {
	t.Parallel()
	text, err := renderConfig(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `webhook.timeout` | duration, at least 1s, at most 30s | `5s` | Timeout is how long the API server waits",
		"| `webhook.rules` | list |  | Rules are tried in order",
		"| `webhook.rules[].action` | Require, Fill, Ignore |  | Action is what becomes",
		"| `gc.workers` | number, at least 1",
		"| `inference.signals[].without` | list |  | Without are marks that must not be on the Node. Its fields are those of `inference.signals[].mark`. |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s", want)
		}
	}
	if strings.Contains(text, "signals[].without[].") {
		t.Error("the fields of a list are told twice")
	}
}

func TestWhatIsUnexplainedIsNamed(t *testing.T) {
	t.Parallel()
	p := &page{}
	p.row("a.b", "text", "")
	if _, err := p.done(); err == nil || err.Error() != "a.b is not explained: comment it" {
		t.Errorf("ended with %v", err)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	of := reflect.TypeFor[struct {
		A []string        `validate:"max=3,dive,required,max=9"`
		B metav1.Duration `validate:"mindur=1s,maxdur=2s"`
		C string          `validate:"omitempty,oneof=x y"`
		D *bool
	}]()
	for n, want := range []string{"list of text, at most 3", "duration, at least 1s, at most 2s",
		"x, y", "true or false"} {
		if got := bounds(of.Field(n)); got != want {
			t.Errorf("%s: %q, want %q", of.Field(n).Name, got, want)
		}
	}
}
