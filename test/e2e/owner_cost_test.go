package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// ofOwners are Epitaph's requests about records of owners.
func ofOwners(e auditEvent) bool {
	return e.byEpitaph() && e.ObjectRef.Resource == "ownerobituaries"
}

// Who deletes a Deployment is written once, whatever the number of its pods, and each pod says it.
// Where a busy machine takes longer for a write than the collector waits for it, both write: at a
// load of 20, up to 66 of the pods were seen to be written to twice.
func (c *cluster) deploymentCosts(t *testing.T) {
	const replicas, twice, tries = 100, 90, 3
	var writes int
	for range tries {
		if writes = c.deploymentWrites(t, replicas); writes <= replicas+twice {
			return
		}
		t.Logf("%d writes to %d pods", writes, replicas)
	}
	t.Errorf("%d writes to %d pods, each of %d times", writes, replicas, tries)
}

// deploymentWrites has a Deployment deleted, and returns how often its pods were written to.
func (c *cluster) deploymentWrites(t *testing.T, replicas int32) int {
	t.Helper()
	ns, node := c.namespace(t), c.node(t).Name
	c.replicated(t, ns, node)
	if _, err := c.client.AppsV1().Deployments(ns).Patch(t.Context(), "web", types.MergePatchType,
		[]byte(`{"spec":{"replicas":100}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "all pods run", func(ctx context.Context) (bool, error) {
		d, err := c.client.AppsV1().Deployments(ns).Get(ctx, "web", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == replicas, err
	})
	pods, err := c.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := len(c.audited(t, ofOwners))
	if err := c.as(t, "carol").AppsV1().Deployments(ns).Delete(t.Context(), "web",
		metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)},
	); err != nil {
		t.Fatal(err)
	}
	want := ownerDeleted("carol deleted Deployment web", "carol")
	for _, p := range pods.Items {
		// Where a busy API server did not say in time by whom, the record does.
		if d := c.leaves(t, reason.Pod, ns+"/"+p.Name, reason.Reason{}); d.Reason != want {
			t.Logf("pod %s left with %+v", p.Name, d.Reason)
			c.wantRecord(t, ns, p.Name, want)
		}
	}
	if n := len(c.audited(t, ofOwners)) - before; n != 1 {
		t.Errorf("%d more writes, want one: that of who deleted the Deployment", n)
	}
	return len(c.audited(t, func(e auditEvent) bool {
		return e.byEpitaph() && e.ObjectRef.Resource == "pods" && e.ObjectRef.Namespace == ns
	}))
}

// What is settled costs no request. Each time that another record is taken back, all records were
// looked at.
func (c *cluster) settledRecordsCost(t *testing.T) {
	node := c.node(t).Name
	ns := c.recordedDeletion(t, node)
	looked := func() {
		t.Helper()
		d, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: unique("lives")},
			Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(0)),
				Selector: &metav1.LabelSelector{MatchLabels: web}, Template: template(ns, node)},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c.record(t, &v1alpha1.OwnerObituary{ObjectMeta: metav1.ObjectMeta{Name: d.Name},
			Spec: v1alpha1.OwnerObituarySpec{APIVersion: "apps/v1", Kind: "Deployment",
				Namespace: ns, Name: d.Name, UID: d.UID, Created: d.CreationTimestamp,
				Removed: metav1.NewTime(time.Now().Add(-time.Minute)),
				Deleted: "Deployment " + d.Name, DeletedBy: "carol"}})
		c.eventually(t, "the record is taken back", func(context.Context) (bool, error) {
			for _, o := range c.ownerRecords(t, ns) {
				if o.Spec.Name == d.Name {
					return false, nil
				}
			}
			return true, nil
		})
	}
	ofWeb := func() int {
		return len(c.answered(t, func(e auditEvent) bool {
			return e.byEpitaph() && e.ObjectRef.Resource == "deployments" &&
				e.ObjectRef.Namespace == ns && e.ObjectRef.Name == "web"
		}))
	}
	lists := func() int {
		return len(c.answered(t, func(e auditEvent) bool {
			return ofOwners(e) && e.Verb == "list" && !strings.Contains(e.RequestURI, "watch=")
		}))
	}
	before := ofWeb()
	c.eventually(t, "its Deployment is looked for", func(context.Context) (bool, error) {
		return ofWeb() > before, nil
	})
	looked()
	asked, listed := ofWeb(), lists()
	looked()
	looked()
	if n := ofWeb() - asked; n != 0 {
		t.Errorf("the owner of a settled record was read %d times more", n)
	}
	if n := lists() - listed; n != 0 {
		t.Errorf("records were listed %d times more", n)
	}
}

// recordedDeletion has a program delete a Deployment, and returns its namespace when the pod is
// gone and a record says who did. It tries again where a busy machine did not ask in time.
func (c *cluster) recordedDeletion(t *testing.T, node string) (ns string) {
	t.Helper()
	const tries = 3
	for range tries {
		ns = c.namespace(t)
		pod := c.replicated(t, ns, node)
		if err := c.as(t, runner).AppsV1().Deployments(ns).Delete(t.Context(), "web",
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.leaves(t, reason.Pod, ns+"/"+pod, reason.Reason{})
		if records := c.ownerRecords(t, ns); len(records) == 1 &&
			records[0].Spec.DeletedBy == runner {
			return ns
		}
	}
	t.Fatalf("no record says who deleted a Deployment, each of %d times", tries)
	return ""
}
