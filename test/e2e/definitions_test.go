package e2e

import (
	"context"
	"strings"
	"testing"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/audit/definitions"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	podRecords  = "podobituaries.epitaph-k8s.io"
	nodeRecords = "nodeobituaries.epitaph-k8s.io"
)

// Without the definitions of its records Epitaph starts, serves and says what to do: nothing that
// is deleted waits for a record, with Fail either. It records as soon as they are there.
func TestDefinitionsAreMissing(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			alone(k)
			k.Webhook.FailurePolicy = config.FailClosed
		}}})
	c.spent = true // The garbage collector looks for the kinds that were gone for a while.
	c.Epitaph.Kill()
	c.undefine(t, podRecords, nodeRecords)
	c.restart(t)
	t.Run("at the start", func(t *testing.T) {
		c.tellsOfMissing(t, podRecords, nodeRecords)
		c.endsWithoutRecords(t)
	})
	c.define(t)
	t.Run("installed later", func(t *testing.T) { c.endsWithRecords(t) })
	for of, name := range map[string]string{"pods": podRecords, "nodes": nodeRecords} {
		t.Run("those of "+of+" removed", func(t *testing.T) {
			c.undefine(t, name)
			c.tellsOfMissing(t, name)
			c.endsWithoutRecords(t)
			c.define(t)
			c.endsWithRecords(t)
		})
	}
}

// endsWithoutRecords deletes a pod, and a node with a pod that nobody else ends.
func (c *cluster) endsWithoutRecords(t *testing.T) (ns, node string) {
	t.Helper()
	ns, node = c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "deleted")
	c.remove(t, c.as(t, runner), ns, "deleted")
	c.leaves(t, reason.Pod, ns+"/deleted", nobodyKnows(runner))
	orphan := c.orphans(t, ns, node, 1)[0]
	c.annotateNode(t, node, diskOfNode)
	c.deleteNode(t, node)
	c.leaves(t, reason.Node, node, diskOfNode)
	c.goes(t, ns, orphan[len(ns)+1:])
	return ns, node
}

func (c *cluster) endsWithRecords(t *testing.T) {
	t.Helper()
	ns, node := c.endsWithoutRecords(t)
	c.recorded(t, ns, "deleted")
	c.eventually(t, "node "+node+" is on record", func(context.Context) (bool, error) {
		got := c.plugin(t, "why", "node", node)
		return got.code == 0, nil
	})
}

// tellsOfMissing waits for the metric, and for the Event with the remedy.
func (c *cluster) tellsOfMissing(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		c.eventually(t, "Epitaph says that "+name+" is missing",
			func(ctx context.Context) (bool, error) {
				all, err := c.client.EventsV1().Events(metav1.NamespaceDefault).List(ctx,
					metav1.ListOptions{FieldSelector: "reason=" + definitions.EventMissing})
				if err != nil || c.metricOf(t, definitions.MetricMissing, "definition", name) != 1 {
					return false, err
				}
				return containsEvent(all.Items, name, definitions.Remedy), nil
			})
	}
}

func containsEvent(all []eventsv1.Event, about, words string) bool {
	for _, e := range all {
		if e.Regarding.Name == about && strings.Contains(e.Note, words) {
			return true
		}
	}
	return false
}

// undefine removes definitions, and waits until nothing of them is served any more.
func (c *cluster) undefine(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := c.client.RESTClient().Delete().AbsPath(
			"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" +
				name).Do(t.Context()).Error(); err != nil {
			t.Fatal(err)
		}
		resource, _, _ := strings.Cut(name, ".")
		c.eventually(t, name+" is not served", func(ctx context.Context) (bool, error) {
			_, err := c.client.RESTClient().Get().AbsPath("/apis/epitaph-k8s.io/v1alpha1/" +
				resource).DoRaw(ctx)
			return apierrors.IsNotFound(err), nil
		})
	}
}

// define installs the definitions, and waits until Epitaph has seen that.
func (c *cluster) define(t *testing.T) {
	t.Helper()
	if err := c.DefineRecords(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{podRecords, nodeRecords} {
		c.eventually(t, "Epitaph has seen "+name, func(context.Context) (bool, error) {
			return c.metricOf(t, definitions.MetricMissing, "definition", name) == 0, nil
		})
	}
}
