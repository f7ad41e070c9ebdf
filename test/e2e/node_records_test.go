package e2e

import (
	"context"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// brokenEvidence says what happened and not when, and when in a year that RFC 3339 cannot write.
const brokenEvidence = `[{"what":"hardware","detail":"disk sda"},{"what":"halt","who":"bob","when":"9999-12-31T23:59:59-12:00"}]`

// What a node's annotations say, however broken, holds up neither its deletion nor that of its
// pods, with Fail either.
func TestNodeWithBrokenEvidenceCanGo(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			alone(k)
			k.Webhook.FailurePolicy = config.FailClosed
		}}})
	t.Run("the evidence has no time", func(t *testing.T) {
		o := c.goesWithEvidence(t)
		if len(o.Spec.Evidence) != 2 || o.Spec.Evidence[0].Detail != "disk sda" ||
			!o.Spec.Evidence[0].When.IsZero() {
			t.Errorf("the evidence on record is %+v, want both pieces, without a time",
				o.Spec.Evidence)
		}
	})
	t.Run("a policy refuses the evidence", func(t *testing.T) {
		c.refuseRecords(t, "!has(object.spec.evidence)")
		if o := c.goesWithEvidence(t); len(o.Spec.Evidence) != 0 {
			t.Errorf("the evidence on record is %+v, want what the policy lets pass",
				o.Spec.Evidence)
		}
		if n := c.metricOf(t, audit.MetricNodeObituaries, "outcome", "reduced"); n < 1 {
			t.Errorf("%v records are counted as reduced, want 1 or more", n)
		}
	})
	t.Run("a policy refuses the record", func(t *testing.T) {
		c.refuseRecords(t, "false")
		name := c.removeWithEvidence(t)
		c.eventually(t, "an Event says that node "+name+" is not recorded",
			func(ctx context.Context) (bool, error) {
				return c.hasNodeEvent(ctx, name, audit.EventNodeUnrecorded)
			})
		if n := c.metricOf(t, audit.MetricNodeObituaries, "outcome", "refused"); n < 1 {
			t.Errorf("%v records are counted as refused, want 1 or more", n)
		}
	})
}

// goesWithEvidence removes a node with broken evidence and a pod, and returns what is on record of
// it.
func (c *cluster) goesWithEvidence(t *testing.T) *v1alpha1.NodeObituary {
	t.Helper()
	name := c.removeWithEvidence(t)
	all := &v1alpha1.NodeObituaryList{}
	c.eventually(t, "node "+name+" is on record", func(ctx context.Context) (bool, error) {
		err := c.memory(t).Live.List(ctx, all, client.MatchingFields{reason.NodeNameField: name})
		return len(all.Items) == 1, err
	})
	return &all.Items[0]
}

func (c *cluster) removeWithEvidence(t *testing.T) (name string) {
	t.Helper()
	ns, name := c.namespace(t), c.node(t).Name
	pods := c.fill(t, ns, name, 1)
	c.patchNode(t, name,
		map[string]any{"metadata": map[string]any{
			"annotations": map[string]any{reason.EvidenceKey: brokenEvidence}}})
	c.deleteNode(t, name)
	c.leaves(t, reason.Node, name, reason.Reason{})
	c.leaves(t, reason.Pod, pods[0], reason.Reason{})
	return name
}

// hasNodeEvent tells whether there is such an Event about a Node.
func (c *cluster) hasNodeEvent(ctx context.Context, node, event string) (bool, error) {
	all, err := c.client.EventsV1().Events(corev1.NamespaceDefault).List(ctx,
		metav1.ListOptions{FieldSelector: "reason=" + event})
	if err != nil {
		return false, err
	}
	for _, e := range all.Items {
		if e.Regarding.Kind == "Node" && e.Regarding.Name == node {
			return true, nil
		}
	}
	return false, nil
}

// refuseRecords has a policy refuse every NodeObituary for which the expression is false, until the
// subtest ends.
func (c *cluster) refuseRecords(t *testing.T, unless string) {
	t.Helper()
	name := c.policy(t, nil, admissionregistrationv1.Create, admissionregistrationv1.Rule{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, APIVersions: []string{"*"},
		Resources: []string{"nodeobituaries"},
	}, unless)
	probe := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName: name, Code: "X", Class: "routine", Reason: "x", Removed: metav1.Now(),
			Evidence: []v1alpha1.Evidence{{What: "halt"}},
		}}
	writer := c.memory(t).Writer
	c.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
		err := writer.Create(ctx, probe.DeepCopy(), client.DryRunAll)
		// the one before may be in force still
		return err != nil && strings.Contains(err.Error(), "'"+name+"'"), nil
	})
}
