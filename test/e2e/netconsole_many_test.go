package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// A bareNode is a Node without a machine: nothing answers at its address, and its Lease is never
// renewed again.
type bareNode struct{ name, address string }

// bareNodes makes nodes with one pod each.
func (c *cluster) bareNodes(t *testing.T, namespace string, n int) []bareNode {
	t.Helper()
	nodes := make([]bareNode, n)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for i := range nodes {
		nodes[i] = bareNode{fmt.Sprintf("bare-%d", i), fmt.Sprintf("127.0.%d.%d", 5+i/250, 1+i%250)}
		group.Go(func() error { return c.createBareNode(ctx, namespace, nodes[i]) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return nodes
}

func (c *cluster) createBareNode(ctx context.Context, namespace string, n bareNode) error {
	// Without an instance, its Node would be taken for one that the cloud has removed.
	if err := os.WriteFile(filepath.Join(c.Instances, n.name), []byte("running\n"),
		0o600); err != nil {
		return err
	}
	now := metav1.Now()
	token := map[string]string{reason.TokenKey: config.TokenAnnotation("boot-of-"+n.name,
		tokenOfBoot)}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Annotations: token},
		Status: corev1.NodeStatus{
			Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.address}},
			NodeInfo:  corev1.NodeSystemInfo{BootID: "boot-of-" + n.name},
			Conditions: []corev1.NodeCondition{
				{Type: corev1.NodeReady, Status: corev1.ConditionTrue,
					LastHeartbeatTime: now, LastTransitionTime: now}},
		}}
	if _, err := c.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return err
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: n.name,
		Namespace: corev1.NamespaceNodeLease}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: &n.name, LeaseDurationSeconds: ptr.To(int32(4)),
		RenewTime: &metav1.MicroTime{Time: now.Time},
	}}
	if _, err := c.client.CoordinationV1().Leases(lease.Namespace).Create(ctx, lease,
		metav1.CreateOptions{}); err != nil {
		return err
	}
	pod := podSpec(namespace, n.name, "on-"+n.name, tolerant)
	pod.Spec.NodeName, pod.Spec.NodeSelector = n.name, nil
	_, err := c.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// A bad rollout, or somebody with many addresses: 300 nodes panic within a second, all of them
// silent. As many die as the brake admits, the others stay with their pods and with the panic as
// evidence, and it is said aloud.
func TestManyPanicsAtOnceAreBraked(t *testing.T) {
	t.Parallel()
	const nodes, admitted = 300, 20
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			listening(k)
			k.GC.Enabled = false // it would speak of the pods of the dead nodes, too
			k.Netconsole.Brake.Nodes = admitted
			k.LeaderElection.Enabled = false
		}}})
	ns := c.namespace(t)
	all := c.bareNodes(t, ns, nodes)
	heard := func() float64 {
		return c.metric(t, netconsole.MetricDatagrams) - c.metricOf(t, netconsole.MetricDatagrams,
			"outcome", "unknown-sender")
	}
	c.eventually(t, "Epitaph knows the nodes", func(context.Context) (bool, error) {
		before := heard()
		for _, n := range all {
			c.says(t, n.address, []byte("6,1,1000,-;nothing of interest\n"))
		}
		time.Sleep(200 * time.Millisecond)
		return heard()-before == nodes, nil
	})
	for _, n := range all {
		c.says(t, n.address, aSignedPanic("all at once"))
	}
	c.eventually(t, "every panic is judged", func(context.Context) (bool, error) {
		if c.metric(t, netconsole.MetricPanics) < nodes {
			return false, nil
		}
		dead, braked := c.metricOf(t, netconsole.MetricPanics, "verdict", "dead"),
			c.metricOf(t, netconsole.MetricPanics, "verdict", "braked")
		if dead != admitted || braked != nodes-admitted {
			return false, fmt.Errorf(
				"%.0f nodes were declared dead and %.0f left alone by the brake, want %d and %d", dead, braked, admitted, nodes-admitted)
		}
		return true, nil
	})
	c.eventually(t, "those that were admitted are gone, the others have the panic as evidence",
		func(ctx context.Context) (bool, error) {
			left, testified, err := c.bareNodesLeft(ctx)
			return left == nodes-admitted && testified == left, err
		})
	wantPod, _ := panicked("all at once")
	left, died := map[string]bool{}, 0
	for _, pod := range c.podsIn(t, ns) {
		left[pod.Name] = true
		if pod.DeletionTimestamp != nil || keys.Pod.Has(pod.Annotations) {
			t.Errorf("pod %s of a node that the brake holds terminates, or carries a reason: %v",
				pod.Name, pod.Annotations)
		}
	}
	for _, n := range all {
		if pod := "on-" + n.name; !left[pod] {
			died++
			c.leaves(t, reason.Pod, ns+"/"+pod, wantPod)
		}
	}
	if died != admitted {
		t.Errorf("%d pods died, want one of each of the %d nodes that were admitted", died,
			admitted)
	}
}

// bareNodesLeft counts the bare nodes that are there, and those that carry a panic as evidence and
// no reason.
func (c *cluster) bareNodesLeft(ctx context.Context) (left, testified int, err error) {
	found, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, 0, err
	}
	for n := range found.Items {
		node := &found.Items[n]
		if node.Status.NodeInfo.BootID != "boot-of-"+node.Name {
			continue
		}
		left++
		evidence, err := reason.EvidenceOn(node)
		if err != nil {
			return 0, 0, err
		}
		if len(evidence) == 1 && evidence[0].What == reason.EvidencePanic &&
			evidence[0].Detail == "all at once" && !keys.Node.Has(node.Annotations) {
			testified++
		}
	}
	return left, testified, nil
}

// Epitaph is killed again and again while it removes a node with many pods: whoever starts finishes.
func TestRemovalIsFinishedAfterCrashes(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			listening(k)
			k.GC.Enabled = false
			k.LeaderElection.Enabled = false
			k.Netconsole.Workers = 1 // slow enough to be killed in the middle
		}}})
	ns, node := c.namespace(t), c.answering(t)
	pods := c.orphans(t, ns, node.Name, 150)
	c.dies(t, node.Name)
	c.says(t, node.Address, aSignedPanic("killed in the middle"))
	c.eventually(t, "the removal has begun", func(context.Context) (bool, error) {
		n := len(c.podsIn(t, ns))
		return n > 0 && n < len(pods), nil
	})
	interrupted := 0
	for range 3 {
		c.Epitaph.Kill()
		if left := len(c.podsIn(t, ns)); left > 0 {
			interrupted++
		}
		c.restart(t)
		// to take the intent up, to see that the Lease is not renewed, and to go on for a while
		time.Sleep(10 * time.Second)
	}
	if interrupted == 0 {
		t.Error("no crash was in the middle: this test showed nothing")
	}
	wantPod, wantNode := panicked("killed in the middle")
	for _, pod := range pods {
		c.leaves(t, reason.Pod, pod, wantPod)
	}
	c.leaves(t, reason.Node, node.Name, wantNode)
	if n := c.obituariesOf(t, node.Name); n != 1 {
		t.Errorf("the node has %d obituaries, want 1", n)
	}
}
