package e2e

import (
	"context"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/registration"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// A cost is what one removal of a pod costs the API server because of us.
type cost struct {
	// Deletes and Evictions are calls of these webhooks, Writes our writes to the pod.
	Deletes, Evictions, Writes int
}

// What is counted is the API server's own word: its metrics for the calls, its audit log for the
// writes. It counts the whole way of the pod, the kubelet's final DELETE included.
func TestWhatARemovalCosts(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})
	ns, node := c.namespace(t), c.node(t).Name
	complete := keys.Pod.Annotations(reason.New(reason.Pod, reason.HardwareFailure,
		"disk sda", "ops"))
	// What a call before has left: the mark names who asks, so there is nothing to add. Its time is
	// ahead, so that it is not taken off.
	marked := maps.Clone(complete)
	marked[reason.WrittenKey] = time.Now().Add(5*time.Minute).UTC().Format(time.RFC3339) +
		" asked " + runner
	deleted := func(o metav1.DeleteOptions) func(*testing.T, *kubernetes.Clientset, string) error {
		return func(t *testing.T, as *kubernetes.Clientset, name string) error {
			return as.CoreV1().Pods(ns).Delete(t.Context(), name, o)
		}
	}
	graceful, trial := deleted(metav1.DeleteOptions{}),
		deleted(metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	tests := map[string]struct {
		annotations map[string]string
		who         string
		remove      func(*testing.T, *kubernetes.Clientset, string) error
		stays       bool
		want        cost
	}{
		"filled in": {who: runner, remove: graceful, want: cost{Deletes: 1, Writes: 1}},
		"filled in, forced": {who: runner,
			remove: deleted(metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}),
			want:   cost{Deletes: 1, Writes: 1}},
		"with a person's words": {who: "alice", remove: graceful,
			annotations: map[string]string{keys.Pod.Reason: "the disk is needed"},
			want:        cost{Deletes: 1, Writes: 1}},
		// Who deletes is written beside what was claimed.
		"with a complete reason": {who: runner, remove: graceful, annotations: complete,
			want: cost{Deletes: 1, Writes: 1}},
		"with a complete reason, marked": {who: runner, remove: graceful, annotations: marked},
		"marked for somebody else": {who: cleaner, remove: graceful, annotations: marked,
			want: cost{Deletes: 1, Writes: 1}},
		"denied": {who: "alice", remove: graceful, stays: true,
			want: cost{Deletes: 1}},
		"for trial": {who: runner, remove: trial, stays: true,
			want: cost{Deletes: 1}},
		"for trial, with a reason": {who: runner, remove: trial, annotations: complete,
			stays: true, want: cost{Deletes: 1}},
		"for trial, with a reason, marked": {who: runner, remove: trial, annotations: marked,
			stays: true},
		"evicted": {who: "alice", remove: evicted(ns),
			want: cost{Evictions: 1, Writes: 1}},
		"evicted, with a reason": {who: "alice", remove: evicted(ns),
			annotations: complete, want: cost{Evictions: 1, Writes: 1}},
		"one of a deletecollection": {who: runner, remove: collected(ns),
			want: cost{Deletes: 1, Writes: 1}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := unique("p")
			c.pod(t, ns, node, pod,
				func(p *corev1.Pod) { p.Labels = map[string]string{"name": pod} })
			c.annotateAll(t, ns, pod, tc.annotations)
			c.cached(t, ns, pod)
			before, as := c.costOf(t, ns, pod), c.as(t, tc.who)
			if err := tc.remove(t, as, pod); (err != nil) != (name == "denied") {
				t.Fatalf("the removal ended with %v", err)
			}
			if tc.stays {
				c.alive(t, ns, pod)
			} else {
				c.leaves(t, reason.Pod, ns+"/"+pod, reason.Reason{})
			}
			after := c.costOf(t, ns, pod)
			got := cost{after.Deletes - before.Deletes, after.Evictions - before.Evictions,
				after.Writes - before.Writes}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("of a Deployment with many", c.deploymentCosts)
	t.Run("what is settled", c.settledRecordsCost)
	t.Run("of kinds that are not there", c.absentKindsCostNothing)
}

func evicted(ns string) func(*testing.T, *kubernetes.Clientset, string) error {
	return func(t *testing.T, as *kubernetes.Clientset, name string) error {
		return evict(t, as, ns, name)
	}
}

func collected(ns string) func(*testing.T, *kubernetes.Clientset, string) error {
	return func(t *testing.T, as *kubernetes.Clientset, name string) error {
		return as.CoreV1().Pods(ns).DeleteCollection(t.Context(), metav1.DeleteOptions{},
			metav1.ListOptions{LabelSelector: "name=" + name})
	}
}

// annotateAll puts annotations on a pod that lives: a reason that it is created with would be taken
// off.
func (c *cluster) annotateAll(t *testing.T, ns, name string, annotations map[string]string) {
	t.Helper()
	if annotations == nil {
		return
	}
	patch := encode(t, map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if _, err := c.client.CoreV1().Pods(ns).Patch(t.Context(), name, types.MergePatchType, patch,
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// cached waits until the API server's own cache has the pod as it is. It asks about the copy there
// first, and once more about the pod itself if that copy was old.
func (c *cluster) cached(t *testing.T, ns, name string) {
	t.Helper()
	c.eventually(t, "pod "+name+" is in the API server's cache",
		func(ctx context.Context) (bool, error) {
			stored, err := c.client.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			cached, err := c.client.CoreV1().Pods(ns).Get(ctx, name,
				metav1.GetOptions{ResourceVersion: "0"})
			return err == nil && cached.ResourceVersion == stored.ResourceVersion, err
		})
}

// costOf counts what a pod has cost so far; calls are those for all pods.
func (c *cluster) costOf(t *testing.T, ns, pod string) cost {
	t.Helper()
	return cost{
		Deletes:   c.admissionCalls(t, registration.PodsWebhook),
		Evictions: c.admissionCalls(t, registration.EvictionsWebhook),
		Writes: len(c.audited(t, func(e auditEvent) bool {
			return e.byEpitaph() && e.ObjectRef.Resource == "pods" && e.ObjectRef.Namespace == ns &&
				e.ObjectRef.Name == pod
		})),
	}
}

func encode(t *testing.T, o any) []byte {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
