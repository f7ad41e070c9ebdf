package e2e

import (
	"context"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// The autoscaler's taints (kubernetes/autoscaler cluster-autoscaler/utils/taints): the first is
	// on a node that it removes, the other on one that it may remove next.
	toBeDeleted       = "ToBeDeletedByClusterAutoscaler"
	deletionCandidate = "DeletionCandidateOfClusterAutoscaler"
)

// The cluster autoscaler evicts pods and has the cloud end the machine; the cloud's controller then
// deletes the Node. Its taint is the same for a node that is not needed and one that is not Ready.
func TestClusterAutoscalerSaysWhyNodesGo(t *testing.T) {
	t.Parallel()
	t.Run("not needed", func(t *testing.T) {
		t.Parallel()
		n := autoscaled(t)
		n.taint(t, toBeDeleted, time.Now())
		n.evicts(t, reason.NodeScaledDown, n.mark)
		n.isEnded(t, reason.NodeScaledDown, n.mark)
	})
	t.Run("not ready", func(t *testing.T) {
		t.Parallel()
		n := autoscaled(t)
		if err := shared.StopKubelet(t.Context(), n.name); err != nil {
			t.Fatal(err)
		}
		n.taint(t, toBeDeleted, n.silentSince(t).Add(time.Second))
		const unknown = "Ready=Unknown: NodeStatusUnknown"
		n.evicts(t, reason.NodeUnreachable, unknown+"; evicted by "+clusterAutoscaler)
		n.isEnded(t, reason.NodeUnreachable, unknown)
	})
	t.Run("spot", func(t *testing.T) {
		t.Parallel()
		n := autoscaled(t)
		n.taint(t, toBeDeleted, time.Now())
		n.taint(t, "aws-node-termination-handler/spot-itn", time.Now())
		n.evicts(t, reason.SpotInterrupted, n.mark)
		n.isEnded(t, reason.SpotInterrupted, n.mark)
	})
	t.Run("a candidate", func(t *testing.T) {
		t.Parallel()
		n := autoscaled(t)
		n.taint(t, deletionCandidate, time.Now())
		n.isEnded(t, reason.CloudInstanceGone, n.name)
	})
}

// An autoscaledNode has a pod "p".
type autoscaledNode struct {
	name, ns string
	// mark is the last taint, in words.
	mark string
}

func autoscaled(t *testing.T) *autoscaledNode {
	t.Helper()
	n := &autoscaledNode{name: shared.node(t).Name, ns: shared.namespace(t)}
	shared.pod(t, n.ns, n.name, "p")
	return n
}

// taint puts a taint on the node whose value is a time, as the autoscaler does.
func (n *autoscaledNode) taint(t *testing.T, key string, at time.Time) {
	t.Helper()
	value := strconv.FormatInt(at.Unix(), 10)
	n.mark = key + ": " + value
	effect := corev1.TaintEffectNoSchedule
	if key == deletionCandidate {
		effect = corev1.TaintEffectPreferNoSchedule
	}
	shared.eventually(t, "node "+n.name+" has the taint "+key,
		func(ctx context.Context) (bool, error) {
			now, err := shared.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			now.Spec.Taints = append(now.Spec.Taints,
				corev1.Taint{Key: key, Value: value, Effect: effect})
			_, err = shared.client.CoreV1().Nodes().Update(ctx, now, metav1.UpdateOptions{})
			return err == nil, ignoreConflict(err)
		})
}

// silentSince waits until the node is known to be silent.
func (n *autoscaledNode) silentSince(t *testing.T) (since time.Time) {
	t.Helper()
	shared.eventually(t, "node "+n.name+" is Unknown", func(ctx context.Context) (bool, error) {
		now, err := shared.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range now.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
				since = c.LastTransitionTime.Time
			}
		}
		return !since.IsZero(), nil
	})
	return since
}

// evicts has the autoscaler evict the pod, and checks with what.
func (n *autoscaledNode) evicts(t *testing.T, code reason.Code, detail string) {
	t.Helper()
	if err := evict(t, shared.as(t, clusterAutoscaler), n.ns, "p"); err != nil {
		t.Fatal(err)
	}
	want := reason.New(reason.Pod, code, detail, clusterAutoscaler)
	var got reason.Reason
	shared.eventually(t, "the pod is told why it goes", func(ctx context.Context) (bool, error) {
		if d, gone := shared.witness.Saw(reason.Pod, n.ns+"/p"); gone {
			got = d.Reason
			return true, nil
		}
		p, err := shared.client.CoreV1().Pods(n.ns).Get(ctx, "p", metav1.GetOptions{})
		if err != nil {
			return false, client.IgnoreNotFound(err)
		}
		got, err = keys.Pod.Read(p.Annotations)
		return err == nil, nil
	})
	if got != want {
		t.Errorf("the pod is told\n  %+v, want\n  %+v", got, want)
	}
}

// isEnded has the cloud end the machine, and checks what the Node leaves with.
func (n *autoscaledNode) isEnded(t *testing.T, code reason.Code, detail string) {
	t.Helper()
	if err := shared.TakeInstanceAway(n.name); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Node, n.name, reason.New(reason.Node, code, detail, nodeController))
}
