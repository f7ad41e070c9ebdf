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
	"github.com/epitaph-k8s/epitaph/gc"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

var obituaries = schema.GroupVersionResource{Group: "epitaph-k8s.io", Version: "v1alpha1",
	Resource: "nodeobituaries"}

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
		Code: reason.CloudInstanceGone, By: "ops",
		Text: "This pod had to be terminated because the cloud instance of node node-4 is gone",
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
		c.patchObituary(t,
			"node-1", `{"metadata":{"annotations":{"epitaph-k8s.io/release-pods":"yes"}}}`)
		if _, err := c.witness.Sees(t.Context(), reason.Pod, ns+"/on-node-1"); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("an explanation releases, and is the reason", func(t *testing.T) {
		c.patchObituary(t,
			"node-2",
			`{"spec":{"code":"HardwareFailure","class":"disruption","by":"ops","reason":"This node had to be removed because its hardware failed (rack 7)"}}`)
		c.leaves(t, reason.Pod, ns+"/on-node-2", reason.Reason{
			Code: reason.HardwareFailure, By: "ops",
			Text: "This pod had to be terminated because the underlying hardware failed (rack 7)",
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
	if !strings.Contains(log, `"msg":"brake holds the pods of a node"`) ||
		!strings.Contains(log, "epitaph-k8s.io/release-pods=yes") {
		t.Errorf("the log does not say what is held and how it is released:\n%s", log)
	}
	c.eventually(t, "an Event says so", func(ctx context.Context) (bool, error) {
		events, err := c.client.EventsV1().Events("default").List(ctx,
			metav1.ListOptions{FieldSelector: "reason=HoldingPods"})
		if err != nil || len(events.Items) < 3 {
			return false, err
		}
		return strings.Contains(events.Items[0].Note, "(more than 40%)") &&
			strings.Contains(events.Items[0].Note, "epitaph-k8s.io/release-pods=yes"), nil
	})
	if got := c.metric(t, "epitaph_gc_nodes_held"); got != 3 {
		t.Errorf("epitaph_gc_nodes_held is %v, want 3", got)
	}
}

// shortestWindow is the shortest that the configuration lets the brake have.
const shortestWindow = time.Minute

// patchObituary changes the obituary of a node as an operator does.
func (c *cluster) patchObituary(t *testing.T, node, patch string) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.Resource(obituaries).List(t.Context(),
		metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil || len(all.Items) != 1 {
		t.Fatalf("node %s has %d obituaries (%v), want 1", node, len(all.Items), err)
	}
	if _, err := client.Resource(obituaries).Patch(t.Context(), all.Items[0].GetName(),
		types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatalf("patch the obituary of node %s: %v", node, err)
	}
}

// away deletes Nodes while nobody of ours looks, as a store that was restored without them.
func (c *cluster) away(t *testing.T, nodes ...string) {
	t.Helper()
	c.Epitaph.Kill()
	for _, node := range nodes {
		c.deleteNode(t, node)
	}
	if err := c.Epitaph.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// held waits until the pods of so many nodes are held.
func (c *cluster) held(t *testing.T, nodes int) {
	t.Helper()
	c.eventually(t, fmt.Sprintf("the pods of %d nodes are held", nodes),
		func(context.Context) (bool, error) {
			return c.metric(t, "epitaph_gc_nodes_held") == float64(nodes), nil
		})
}

// A replica that leads for the first time knows nothing but what is there: neither age of the
// losses, nor replacements that came since, nor that a person has let one of the nodes go make it
// let go of the others.
func TestBrakeHoldsOverRestartsWhateverTheAge(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			braked(k)
			k.GC.Brake.Window = metav1.Duration{Duration: shortestWindow}
		}}})
	ns := c.namespace(t)
	nodes := []string{"node-1", "node-2", "node-3", "node-4"}
	var pods []*corev1.Pod
	for _, node := range nodes {
		pods = append(pods, c.pod(t, ns, node, "on-"+node))
	}
	began := time.Now()
	c.away(t, nodes[:3]...)
	c.held(t, 3)
	for range 4 { // as many as were there before, and more
		c.node(t)
	}
	c.eventuallyWithin(t, 2*shortestWindow, "the losses are older than the window",
		func(context.Context) (bool, error) {
			return time.Since(began) > shortestWindow+2*quarantine, nil
		})
	for range 2 {
		c.Epitaph.Kill()
		if err := c.Epitaph.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.held(t, 3)
	}
	c.patchObituary(t,
		"node-1", `{"metadata":{"annotations":{"epitaph-k8s.io/release-pods":"yes"}}}`)
	if _, err := c.witness.Sees(t.Context(), reason.Pod, ns+"/on-node-1"); err != nil {
		t.Fatal(err)
	}
	c.held(t, 2)
	stays(t, c, pods[1], 12*time.Second)
	stays(t, c, pods[2], 0)

	// The return of a node makes the last one a loss that is plausible.
	if _, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: "node-1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: "node-2"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.witness.Sees(t.Context(), reason.Pod, ns+"/on-node-3"); err != nil {
		t.Fatal(err)
	}
	stays(t, c, pods[1], 0)
}

// Whoever may create pods can bind them to names that they invent: they are no losses, and stop no
// failover.
func TestInventedNodeNamesDoNotEngageTheBrake(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: braked}})
	ns := c.namespace(t)
	c.pod(t, ns, "node-1", "on-node-1")
	for n := range 8 {
		c.create(t, podSpec(ns, "", fmt.Sprintf("invented-%d", n), func(p *corev1.Pod) {
			p.Spec.NodeSelector, p.Spec.NodeName = nil, fmt.Sprintf("no-such-node-%d", n)
		}))
	}
	c.deleteNode(t, "node-1")
	if _, err := c.witness.Sees(t.Context(), reason.Pod, ns+"/on-node-1"); err != nil {
		t.Fatal(err)
	}
	if got := c.metric(t, "epitaph_gc_nodes_held"); got != 0 {
		t.Errorf("epitaph_gc_nodes_held is %v, want 0", got)
	}
	c.wantNoRecordOf(t, "no-such-node-0")
}

// wantNoRecordOf checks that a name that was never a Node's has no record: nobody may fill the
// store with those.
func (c *cluster) wantNoRecordOf(t *testing.T, node string) {
	t.Helper()
	client, err := dynamic.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	all, err := client.Resource(obituaries).List(t.Context(),
		metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil || len(all.Items) != 0 {
		t.Errorf("node %s, which never was, has %d obituaries (%v), want none", node,
			len(all.Items), err)
	}
}

// Events of Nodes land in namespace default, where others read them: they name no pod and no
// namespace.
func TestEventsOfNodesNameNoPods(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a-secret-project")
	shared.pod(t, ns, node, "full", full)
	shared.annotateNode(t, node, diskOfNode)
	shared.deleteNode(t, node)
	shared.goes(t, ns, "a-secret-project")
	shared.goes(t, ns, "full")
	shared.event(t, node, gc.EventCollecting, "terminating 2 pods")
	all, err := shared.client.EventsV1().Events(metav1.NamespaceDefault).List(t.Context(),
		metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all.Items {
		if e.Regarding.Name == node && e.ReportingController == "epitaph-gc" &&
			(strings.Contains(e.Note, "a-secret-project") || strings.Contains(e.Note, ns)) {
			t.Errorf("the Event %s of node %s says %q", e.Reason, node, e.Note)
		}
	}
}
