package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// hostile is what somebody writes who wants a terminal or a browser to obey. A custom resource
// takes it.
const hostile = "\x1b[2J\x1b]0;owned\a<script>alert(1)</script>\u202e\u009b31m\r\nNode fine, all is well"

func TestPluginShowsHostileContentAndObeysNothing(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node, pod := hostileRecords(namespace)
	lives := shared.node(t).Name
	pod.Spec.NodeName = lives
	shared.record(t, node, pod)
	for _, args := range [][]string{
		{"why", "pod/victim"}, {"why", "pod/victim", "-o", "json"},
		{"why", "pod/victim", "-o", "yaml"}, {"why", "node/" + node.Name},
		{"list"}, {"list", "-o", "wide"}, {"list", "-o", "json"}, {"list", "-o", "yaml"},
		{"list", "nodes", "--node", node.Name},
		{"why", "node/" + lives}, {"why", "node/" + lives, "-o", "json"},
		{"list", "-o", "name"}, {"list", "-o", "custom-columns=A:.spec.reason,B:.spec.by"},
		{"list", "-o", "jsonpath={.items[*].spec}"}, {"why", "pod/victim", "-o",
			"custom-columns=A:.reason,B:.by,C:.node.reason"}, {"why", "node/" + node.Name, "-o", "json"},
		{"list", "nodes", "--node", node.Name, "-o", "custom-columns=A:.spec.reason"},
		{"panics", node.Name}, {"panics", node.Name, "-o", "yaml"}, {"__complete", "why", "pod/"},
	} {
		got := shared.plugin(t, append(args, "-n", namespace)...)
		if got.code != 0 || got.out == "" {
			t.Errorf("%v said %+v", args, got)
		}
		if i := strings.IndexFunc(strings.ReplaceAll(got.out, "\n", ""), obeyed); i >= 0 {
			t.Errorf("%v lets a terminal obey %q", args, got.out)
		}
		if strings.Contains(got.out, "\nNode fine") {
			t.Errorf("%v lets what others wrote pass for a line of its own:\n%s", args, got.out)
		}
	}
}

// A pod that is there carries whatever its owner wrote: a quarter of a megabyte, too.
func TestPluginIsNotFloodedByAnAnnotation(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	shared.pod(t, namespace, shared.node(t).Name, "loud")
	shared.annotate(t, namespace, "loud", strings.Repeat(hostile, 2000))
	file := filepath.Join(t.TempDir(), "odd.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: v1\nkind: \"\\e[2JPod\\u202e\"\n"+
		"metadata: {name: \"\\e[2J\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"why", "pod/loud"}, {"why", "pod/loud", "-o", "json"},
		{"delete", "pod/loud", "--reason", "x"}, {"delete", hostile, "--reason", "x"},
		{"delete", "pods", "-l", hostile, "--reason", "x"}, {"delete", "-f", file, "--reason", "x"},
		{"drain", hostile, "--reason", "x"}, {"why", "node/" + hostile}, {"list", "--" + hostile}} {
		got := shared.plugin(t, append(args, "-n", namespace)...)
		said := got.out + got.err
		if len(said) > 8<<10 || strings.IndexFunc(strings.ReplaceAll(said, "\n", ""), obeyed) >= 0 {
			t.Errorf("%v says %d bytes, or lets a terminal obey: %.2000q", args, len(said), said)
		}
	}
}

func obeyed(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r == '\u2028' || r == '\u2029'
}
