package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// A crash is one place in the kernel, and who crashed there.
type crash struct {
	// Fingerprint is that of the trace; empty for all crashes without one.
	Fingerprint string      `json:"fingerprint"`
	Crashes     int         `json:"crashes"`
	Nodes       []string    `json:"nodes"`
	Functions   []string    `json:"functions,omitempty"`
	Kernel      string      `json:"kernel,omitempty"`
	Hardware    string      `json:"hardware,omitempty"`
	First       metav1.Time `json:"first"`
	Last        metav1.Time `json:"last"`
	// Records are the names of the NodeObituaries.
	Records []string `json:"records"`
}

// crashesOf groups the records of panics by fingerprint: the most frequent first, and those of one
// trace together.
func crashesOf(all []v1alpha1.NodeObituary) []crash {
	var groups []crash
	of := map[string]int{}
	for n := range all {
		o := &all[n]
		trace := obituary.PanicOf(&o.Spec)
		if trace == nil || trace.Fingerprint == "" {
			trace = &v1alpha1.PanicTrace{}
		}
		at, known := of[trace.Fingerprint]
		if !known {
			at = len(groups)
			of[trace.Fingerprint] = at
			groups = append(groups, crash{Fingerprint: trace.Fingerprint,
				Functions: trace.Functions, Kernel: trace.Kernel, Hardware: trace.Hardware,
				First: o.Spec.Removed, Last: o.Spec.Removed})
		}
		c := &groups[at]
		c.Crashes++
		c.Records = append(c.Records, o.Name)
		if !slices.Contains(c.Nodes, o.Spec.NodeName) {
			c.Nodes = append(c.Nodes, o.Spec.NodeName)
		}
		if o.Spec.Removed.Before(&c.First) {
			c.First = o.Spec.Removed
		}
		if c.Last.Before(&o.Spec.Removed) {
			c.Last = o.Spec.Removed
		}
	}
	often := map[string]int{}
	for _, c := range groups {
		often[c.trace()] += c.Crashes
	}
	slices.SortStableFunc(groups, func(a, b crash) int {
		return cmp.Or(cmp.Compare(often[b.trace()], often[a.trace()]),
			strings.Compare(a.trace(), b.trace()), cmp.Compare(b.Crashes, a.Crashes))
	})
	return groups
}

// trace is the word of the fingerprint that is the same on all kernels and machines.
func (c crash) trace() string {
	trace, _, _ := strings.Cut(c.Fingerprint, "-")
	return trace
}

// innermost is how many functions a row shows.
const innermost = 3

func (p *plugin) printCrashes(all []crash) error {
	rows := make([][]string, 0, len(all))
	for _, c := range all {
		where := strings.Join(c.Functions[:min(len(c.Functions), innermost)], " < ")
		fingerprint := c.Fingerprint
		if fingerprint == "" {
			fingerprint, where = "-", "(no trace is on record)"
		}
		rows = append(rows, []string{fingerprint, strconv.Itoa(c.Crashes),
			strconv.Itoa(len(c.Nodes)), p.ago(c.Last), orDash(c.Kernel), orDash(c.Hardware),
			terminal.Clean(where)})
	}
	return terminal.Table(p.out, []string{"FINGERPRINT", "CRASHES", "NODES", "LAST", "KERNEL",
		"HARDWARE", "IN"}, rows)
}

func orDash(s string) string { return cmp.Or(terminal.Clean(s), "-") }

// placeOf says in a line where the kernel crashed; empty if that is not known.
func placeOf(o *v1alpha1.NodeObituary) string {
	trace := obituary.PanicOf(&o.Spec)
	if trace == nil || trace.Fingerprint == "" {
		return ""
	}
	return fmt.Sprintf("Fingerprint %s: in %s", terminal.Clean(trace.Fingerprint),
		terminal.Clean(strings.Join(trace.Functions[:min(len(trace.Functions), innermost)],
			" < ")))
}
