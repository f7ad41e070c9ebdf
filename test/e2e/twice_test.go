package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The collector's own writes come back to it as events while the pod goes, and some after: each pod
// is deleted once, and no DELETE meets a pod that is gone.
func TestOrphansAreDeletedOnce(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	const many = 40
	for n := range many {
		shared.create(t, podSpec(ns, node, fmt.Sprintf("p%d", n)))
	}
	shared.running(t, ns, many, "")
	shared.annotateNode(t, node, diskOfNode)
	shared.deleteNode(t, node)
	for n := range many {
		shared.leaves(t, reason.Pod, fmt.Sprintf("%s/p%d", ns, n), diskOfPod)
	}
	deletes := map[int]int{}
	shared.eventually(t, "all deletes are in the audit log", func(context.Context) (bool, error) {
		clear(deletes)
		all := shared.audited(t, func(e auditEvent) bool {
			return e.byEpitaph() && e.Verb == "delete" && e.ObjectRef.Resource == "pods" &&
				e.ObjectRef.Namespace == ns
		})
		for _, e := range all {
			deletes[e.ResponseStatus.Code]++
		}
		return deletes[http.StatusOK] >= many, nil
	})
	if deletes[http.StatusOK] != many || deletes[http.StatusNotFound] != 0 {
		t.Errorf("%d pods were deleted by DELETEs that were answered with (code: number) %v", many,
			deletes)
	}
}
