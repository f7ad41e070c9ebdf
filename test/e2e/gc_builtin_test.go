package e2e

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

// slower lets the built-in collector go first where no reason is known.
func slower(c *config.Config) { c.GC.Quarantine = metav1.Duration{Duration: 10 * time.Minute} }

func TestBesideTheBuiltInCollector(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{BuiltInPodGC: true,
		Epitaph: sandbox.EpitaphOptions{Configure: slower}})
	ns, unknown, known := c.namespace(t), c.node(t).Name, c.node(t).Name
	c.pod(t, ns, unknown, "unknown")
	c.pod(t, ns, known, "known")
	c.deleteNode(t, unknown)
	c.annotateNode(t, known, diskOfNode)
	began := time.Now()
	c.deleteNode(t, known)

	d := c.leaves(t, reason.Pod, ns+"/known", diskOfPod)
	if took := d.At.Sub(began); took > 20*time.Second {
		t.Errorf(
			"the pod of a node that left with a reason went after %s: it waited for the built-in collector", took)
	}
	// The built-in collector takes 40 to 60 s, and asks the webhook.
	d = c.patiently(t, 2*time.Minute, ns+"/unknown")
	if d.Reason.Code != reason.NodeDeleted {
		t.Errorf("a pod of the built-in collector left with %+v, want code NodeDeleted", d.Reason)
	}
	wantCounted(t, d.Pod, true)
}

// patiently waits longer for a pod to leave than other tests do.
func (c *cluster) patiently(t *testing.T, limit time.Duration, pod string) witness.Death {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	d, err := c.witness.Sees(ctx, reason.Pod, pod)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
