package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

var obituaries = schema.GroupVersionResource{Group: "epitaph-k8s.io", Version: "v1alpha1", Resource: "nodeobituaries"}

// braked holds when three nodes, and more than 40 percent, are gone.
func braked(c *config.Config) {
	quick(c)
	c.GC.Brake.Enabled, c.GC.Brake.MinNodes, c.GC.Brake.MaxPercent = true, 3, 40
}

func TestBrake(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: braked}})
	ns := c.namespace(t)
	pods := map[string]*corev1.Pod{}
	for i := range 4 {
		node := fmt.Sprintf("node-%d", i+1)
		pods[node] = c.pod(t, ns, node, "on-"+node)
	}
	for _, node := range []string{"node-1", "node-2", "node-3"} {
		c.deleteNode(t, node)
	}
	explained := reason.New(reason.Node, reason.CloudInstanceGone, "node-4", "ops")
	c.annotateNode(t, "node-4", explained)
	c.deleteNode(t, "node-4")

	c.leaves(t, reason.Pod, ns+"/on-node-4", reason.Reason{
		Code: reason.CloudInstanceGone, By: "ops", Text: "This pod had to be terminated because the cloud instance of node node-4 is gone",
	})
	stays(t, c, pods["node-1"], quarantine+2*time.Second)
	for _, node := range []string{"node-2", "node-3"} {
		stays(t, c, pods[node], 0)
	}
	c.sayWhatIsHeld(t)

	t.Run("it still holds after a crash", func(t *testing.T) {
		c.Epitaph.Kill()
		if err := c.Epitaph.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(16 * time.Second) // the lease of the one that was killed runs out
		stays(t, c, pods["node-1"], quarantine+2*time.Second)
	})
	t.Run("an annotation releases", func(t *testing.T) {
		c.patchObituary(t, "node-1", `{"metadata":{"annotations":{"epitaph-k8s.io/release-pods":"yes"}}}`)
		if _, err := c.witness.Sees(t.Context(), reason.Pod, ns+"/on-node-1"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an explanation releases, and is the reason", func(t *testing.T) {
		c.patchObituary(t, "node-2", `{"spec":{"code":"HardwareFailure","class":"disruption","by":"ops","reason":"This node had to be removed because its hardware failed (rack 7)"}}`)
		c.leaves(t, reason.Pod, ns+"/on-node-2", reason.Reason{
			Code: reason.HardwareFailure, By: "ops", Text: "This pod had to be terminated because the underlying hardware failed (rack 7)",
		})
	})
}

// sayWhatIsHeld checks that log and Event tell what is held, why and how it is released.
func (c *cluster) sayWhatIsHeld(t *testing.T) {
	t.Helper()
	log, err := c.Epitaph.Logs()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, `"msg":"brake holds the pods of a node"`) || !strings.Contains(log, "epitaph-k8s.io/release-pods=yes") {
		t.Errorf("the log does not say what is held and how it is released:\n%s", log)
	}
	c.eventually(t, "an Event says so", func(ctx context.Context) (bool, error) {
		events, err := c.client.EventsV1().Events("default").List(ctx, metav1.ListOptions{FieldSelector: "reason=HoldingPods"})
		if err != nil || len(events.Items) < 3 {
			return false, err
		}
		return strings.Contains(events.Items[0].Note, "more than 40% within 10m0s") && strings.Contains(events.Items[0].Note, "epitaph-k8s.io/release-pods=yes"), nil
	})
	if got := c.metric(t, "epitaph_gc_nodes_held"); got != 3 {
		t.Errorf("epitaph_gc_nodes_held is %v, want 3", got)
	}
}

// patchObituary changes the obituary of a node as an operator does.
func (c *cluster) patchObituary(t *testing.T, node, patch string) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.Resource(obituaries).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil || len(all.Items) != 1 {
		t.Fatalf("node %s has %d obituaries (%v), want 1", node, len(all.Items), err)
	}
	if _, err := client.Resource(obituaries).Patch(t.Context(), all.Items[0].GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatalf("patch the obituary of node %s: %v", node, err)
	}
}
