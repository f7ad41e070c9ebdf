package main

import (
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// What cannot be understood is answered with what can, and a fault with its words: the sandbox goes
// on.
func TestWhatIsTyped(t *testing.T) {
	t.Parallel()
	nobody := "nobody listens: the sandbox was started without Epitaph\n"
	for typed, want := range map[string]string{
		"":                             "",
		"\n \n":                        "",
		"panic\n":                      help,
		"pnaic node-1\n":               help,
		"panic node-1 now\n":           help,
		"panic node-1\npanic node-2":   nobody + nobody,
		"gone node-9\n":                "take the instance of node-9 away: remove node-9: no such file or directory\n",
		"  silent   node-9 \nhelp\n\n": "stop the kubelet of node-9: the sandbox has no such node\n" + help,
	} {
		var out strings.Builder
		obey(t.Context(), strings.NewReader(typed), &out, &sandbox.Sandbox{})
		if out.String() != want {
			t.Errorf("%q is answered with %q, want %q", typed, out.String(), want)
		}
	}
}
