package e2e

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The last to delete a pod is its kubelet, whoever was the first. The pod keeps the first one's
// reason, and it is written once.
func TestKubeletsFinalDeleteKeepsTheReason(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	tests := map[string]struct {
		remove func(t *testing.T, name string) error
		verb   string
		want   reason.Reason
	}{
		"deleted": {
			remove: func(t *testing.T, name string) error {
				return shared.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), name,
					metav1.DeleteOptions{})
			},
			verb: "delete",
			want: unexplained,
		},
		"evicted": {
			remove: func(t *testing.T, name string) error {
				return evict(t, shared.as(t, runner), ns, name)
			},
			verb: "create",
			want: reason.Reason{Code: reason.Evicted, By: runner,
				Text: "This pod was evicted (by " + runner + ")"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			shared.pod(t, ns, node, name)
			if err := tc.remove(t, name); err != nil {
				t.Fatal(err)
			}
			shared.leaves(t, reason.Pod, ns+"/"+name, tc.want)
			if diff := cmp.Diff([]string{tc.verb + " " + runner,
				"patch epitaph", "delete system:node:" + node}, shared.doneTo(t, ns,
				name)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// doneTo lists what was done to a pod since it was bound, in the order of the answers, but for the
// status that its kubelet reported. Who asks again because the answer was late is listed once. Our
// write comes first where it is made before the delete is
// answered, and is listed after it all the same.
func (c *cluster) doneTo(t *testing.T, ns, name string) []string {
	t.Helper()
	var done, ours []string
	for _, e := range c.audited(t, func(e auditEvent) bool {
		return e.ObjectRef.Resource == "pods" && e.ObjectRef.Namespace == ns &&
			e.ObjectRef.Name == name
	}) {
		switch {
		case e.byEpitaph():
			ours = append(ours, e.Verb+" epitaph")
		case e.Verb == "delete", e.ObjectRef.Subresource == "eviction":
			done = append(done, e.Verb+" "+e.who())
		}
	}
	if len(done) == 0 {
		t.Fatalf("nobody deleted pod %s", name)
	}
	return slices.Compact(append(append(done[:1:1], ours...), done[1:]...))
}
