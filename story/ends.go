package story

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Ends are how the pods of an owner ended: each is counted once.
type Ends struct {
	// Disrupted are those that the platform ended.
	Disrupted int `json:"disrupted"`
	// Failed are those that ended by themselves with a failure, or beyond their own limits.
	Failed int `json:"failed"`
	// Succeeded are those that the cluster takes for successes.
	Succeeded int `json:"succeeded"`
	// Removed are those that their owner, the cluster or a person removed on purpose.
	Removed int `json:"removed"`
	// Unexplained are the others.
	Unexplained int `json:"unexplained"`
	// DisruptionsByCode says how many of the disrupted ended by which cause.
	DisruptionsByCode map[string]int `json:"disruptionsByCode,omitempty"`
}

func endsOf(pods []Facts) Ends {
	e := Ends{DisruptionsByCode: map[string]int{}}
	for _, f := range pods {
		switch {
		case f.succeeded():
			e.Succeeded++
		case f.failedOfItself():
			e.Failed++
		case f.wasDisrupted():
			e.Disrupted++
			e.DisruptionsByCode[f.cause()]++
		case f.spec().Class == reason.Routine.String():
			e.Removed++
		default:
			e.Unexplained++
		}
	}
	return e
}

// failedOfItself reports whether the pod failed by its own doing, or before anybody ended it.
func (f Facts) failedOfItself() bool {
	return f.chargeable() == v1alpha1.Yes || !f.spec().DisruptionTarget && f.progress() == failed
}

// wasDisrupted reports whether the platform ended the pod: its record says so or, if it exists, its
// condition.
func (f Facts) wasDisrupted() bool { return f.disrupted() || f.spec().DisruptionTarget }

func (f Facts) cause() string {
	if code := clean(f.spec().Code); code != "" {
		return code
	}
	return string(corev1.DisruptionTarget)
}

// String returns the counts as a sentence.
func (e Ends) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{
		{e.Disrupted, "disrupted" + e.causes()}, {e.Failed, "failed by itself"},
		{e.Succeeded, "succeeded"}, {e.Removed, "removed on purpose"},
		{e.Unexplained, "unexplained"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return fmt.Sprintf("%d ended: ", e.total()) + strings.Join(parts, ", ") + "."
}

func (e Ends) total() int {
	return e.Disrupted + e.Failed + e.Succeeded + e.Removed + e.Unexplained
}

func (e Ends) causes() string {
	var all []string
	for _, code := range slices.Sorted(maps.Keys(e.DisruptionsByCode)) {
		all = append(all, fmt.Sprintf("%s %d", code, e.DisruptionsByCode[code]))
	}
	return " (" + strings.Join(all, ", ") + ")"
}
