package main

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPageIsCurrent(t *testing.T) {
	t.Parallel()
	values, err := os.ReadFile("../../../charts/epitaph/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/values.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/values.md is not what would be generated: run make generate (-generated +committed):\n%s", diff)
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	const values = `# All of it.

# A name | an address.
name: "" # for people
section:
  # What it is.
  plain: 1
# A section.
other:
  deep:
    flag: true
  # Of its own.
  list:
    - a: 1
`
	got, err := render([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	const want = head + "| `name` | `\"\"` | A name \\| an address. for people |\n| `section.plain` | `1` | What it is. |\n| `other` |  | A section. |\n" +
		"| `other.deep.flag` | `true` |  |\n| `other.list` | `[{a: 1}]` | Of its own. |\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ values, want string }{
		"what nothing explains": {"a:\n  b: 1\n", "a.b has no comment in values.yaml, and its section has none"},
		"a list":                {"- a\n", "read the values: they are no mapping"},
	} {
		if _, err := render([]byte(tc.values)); err == nil || err.Error() != tc.want {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
