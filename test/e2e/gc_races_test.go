package e2e

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/gc"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The collector's watch lags: it still sees the pod of the node that left, while another one of
// that name runs elsewhere. What it writes is meant for the first.
func TestNamesakeThatTheCollectorDoesNotSeeYet(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	ns, gone, other := c.namespace(t), c.node(t).Name, c.node(t).Name
	old := c.pod(t, ns, gone, "a")
	if err := c.StopKubelet(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	lag, lags := make(chan struct{}), atomic.Bool{}
	c.collect(t, collectorOptions{Pods: func(o any) (any, error) {
		if p, ok := o.(*corev1.Pod); ok && lags.Load() && p.Namespace == ns {
			<-lag
		}
		return o, nil
	}})
	lags.Store(true)
	if err := c.client.CoreV1().Pods(ns).Delete(t.Context(),
		"a", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
		t.Fatal(err)
	}
	young := c.pod(t, ns, other, "a")
	c.annotateNode(t, gone, diskOfNode)
	c.deleteNode(t, gone)
	c.eventually(t, "the collector has written, and was refused",
		func(context.Context) (bool, error) {
			refused := c.audited(t, func(e auditEvent) bool {
				return e.Verb == "patch" && e.ObjectRef.Namespace == ns &&
					e.ObjectRef.Name == "a" &&
					e.ObjectRef.Subresource == "status" &&
					e.User.Username == "kubernetes-admin" && e.ResponseStatus.Code >= 400
			})
			return len(refused) > 0, nil
		})
	stays(t, c, young, 0)
	close(lag)
	c.collectsWhatComesAfter(t, ns)
	stays(t, c, young, 0)
	if old.UID == young.UID {
		t.Error("there was no namesake")
	}
}

// A node leaves with a reason, and its pod waits for its turn. Meanwhile the node returns, and
// leaves again without one: the pod is under the new quarantine, whatever it was queued for.
func TestNodeThatReturnsAndLeavesWhileItsPodWaits(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	ns, node := c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "a", tolerant)
	anew := c.sameNode(t, node)
	if err := c.StopKubelet(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	busy := &busy{with: "unscheduled", begun: make(chan struct{}), goOn: make(chan struct{})}
	c.collect(t, collectorOptions{Terminator: func(real gc.Terminator) gc.Terminator {
		busy.Terminator = real
		return busy
	}})
	c.create(t, podSpec(ns, "no-such-node", "unscheduled", finalized))
	if err := c.client.CoreV1().Pods(ns).Delete(t.Context(),
		"unscheduled", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	<-busy.begun
	c.annotateNode(t, node, diskOfNode)
	c.deleteNode(t, node)
	// Its only worker is busy, but it sees the node go: it puts that on record.
	c.eventually(t, "the node's end is on record",
		func(context.Context) (bool, error) { return c.obituariesOf(t, node) == 1, nil })
	if _, err := c.client.CoreV1().Nodes().Create(t.Context(), anew,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.deleteNode(t, node)
	c.eventually(t, "the second node's end is on record",
		func(context.Context) (bool, error) { return c.obituariesOf(t, node) == 2, nil })
	close(busy.goOn)
	d := c.leaves(t, reason.Pod, ns+"/a", reason.Reason{})
	if waited := d.At.Sub(began); waited < quarantine {
		t.Errorf(
			"the pod went %s after its node left unexplained, before the quarantine of %s was over",
			waited, quarantine)
	}
	if d.Reason.Code == reason.HardwareFailure {
		t.Errorf("the pod left with %+v, but the disk was that of the first node", d.Reason)
	}
}

// busy holds the worker up that ends one pod.
type busy struct {
	gc.Terminator
	with        string
	begun, goOn chan struct{}
}

func (b *busy) TerminatePod(ctx context.Context, pod *corev1.Pod, r reason.Reason) error {
	if pod.Name == b.with {
		close(b.begun)
		<-b.goOn
	}
	return b.Terminator.TerminatePod(ctx, pod, r)
}
