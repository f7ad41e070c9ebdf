package main

import (
	"fmt"
	"slices"
	"strings"
)

// A target is what a command is about.
type target struct {
	kind, name string
}

// kinds are what kubectl accepts for each kind.
var kinds = map[string][]string{
	"pod":  {"pod", "pods", "po"},
	"node": {"node", "nodes", "no"},
	"job":  {"job", "jobs"},
}

// targetOf reads "pod/NAME", "pod NAME" or, of a pod, "NAME".
func targetOf(args []string, allowed ...string) (target, error) {
	text := strings.Join(args, "/")
	kind, name, ok := strings.Cut(text, "/")
	if !ok {
		kind, name = "pod", text
	}
	for _, k := range allowed {
		if slices.Contains(kinds[k], kind) && name != "" && !strings.Contains(name, "/") {
			return target{k, name}, nil
		}
	}
	return target{}, fmt.Errorf("%w: %q is none of %s/NAME", errUsage, text,
		strings.Join(allowed, "/NAME, "))
}
