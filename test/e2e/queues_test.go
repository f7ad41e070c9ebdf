package e2e

import (
	"context"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/audit/reports"
)

// queues are the names of the work queues that a cluster's Epitaph counts.
func (c *cluster) queues(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range c.metrics(t)["workqueue_adds_total"].GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "name" {
				names = append(names, l.GetValue())
			}
		}
	}
	slices.Sort(names)
	return names
}

// A queue without a name is not counted, and nobody sees that it does not get on.
func TestEveryQueueIsCounted(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile(
		"(?m)^\\| `([a-z-]+)` \\| (?:every replica|the leader) \\|").FindAllSubmatch(page, -1) {
		documented = append(documented, string(m[1]))
	}
	if !slices.Contains(documented, reports.Queue) {
		t.Errorf("docs/metrics.md does not have the queue %s", reports.Queue)
	}
	// Reports are switched off here; TestFindingsAreReported looks for theirs.
	documented = slices.DeleteFunc(documented,
		func(name string) bool { return name == reports.Queue })
	slices.Sort(documented)
	var diff string
	defer func() {
		if t.Failed() {
			t.Logf("queues of docs/metrics.md, -documented +served:\n%s", diff)
		}
	}()
	shared.eventually(t, "the queues that are served are those of docs/metrics.md",
		func(context.Context) (bool, error) {
			diff = cmp.Diff(documented, shared.queues(t))
			return diff == "", nil
		})
}
