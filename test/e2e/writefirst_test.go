package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// backstop is the rule of charts/epitaph/templates/backstop.yaml, in one namespace.
const backstop = "(has(request.dryRun) && request.dryRun) || " +
	"oldObject.metadata.?deletionGracePeriodSeconds.orValue(-1) == 0 || " +
	"request.userInfo.username.startsWith('system:node:') || " +
	"oldObject.metadata.?annotations[?'pod.titus.netflix.com/pod-termination-reason']" +
	".orValue('').trim() != ''"

// With writeFirst every reason is on the pod before its DELETE is answered. A policy that looks for
// it there finds it, and what else may go wrong with a write inside the admission does not.
func TestWriteFirst(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{
		Configure: func(k *config.Config) {
			alone(k)
			k.Webhook.WriteFirst = true
		}}})
	t.Run("the backstop finds the reason", c.passesTheBackstop)
	t.Run("a pod that is written all the time", c.deletesAHotPod)
	t.Run("five deletes of one pod", c.deletesAPodFiveTimes)
	t.Run("a force right after a delete", c.forcesRightAfterADelete)
	t.Run("a resource version", c.conflictsOnce)
	t.Run("a dry run", func(t *testing.T) {
		ns, node := c.namespace(t), c.node(t).Name
		before := c.pod(t, ns, node, "a")
		if err := c.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), "a",
			metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			t.Fatal(err)
		}
		if p := c.alive(t, ns, "a"); keys.Pod.Has(p.Annotations) || p.UID != before.UID {
			t.Errorf("the pod carries %q", p.Annotations)
		}
	})
}

func (c *cluster) passesTheBackstop(t *testing.T) {
	ns, node := c.namespace(t), c.node(t).Name
	const many = 10
	for n := range many {
		c.pod(t, ns, node, fmt.Sprintf("p%d", n), lasting)
	}
	c.pod(t, ns, node, "prey")
	// It passes the webhook by: only the policy's answer shows that it is in force.
	c.refuse(t, ns, admissionregistrationv1.Delete, "pods",
		"request.name != 'prey' && ("+backstop+")")
	c.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
		err := c.as(t, runner).CoreV1().Pods(ns).Delete(ctx, "prey",
			metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "failed expression"), nil
	})
	pods := c.as(t, runner).CoreV1().Pods(ns)
	for n := range many {
		name := fmt.Sprintf("p%d", n)
		if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatalf("delete %s: %v", name, err)
		}
		p, err := pods.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := keys.Pod.Read(p.Annotations); err != nil || r != unexplained {
			t.Errorf("once its DELETE is answered, pod %s carries %+v (%v)", name, r, err)
		}
	}
}

// conflictsOnce: our write changes the version that the client named.
func (c *cluster) conflictsOnce(t *testing.T) {
	ns, node := c.namespace(t), c.node(t).Name
	pods := c.as(t, runner).CoreV1().Pods(ns)
	at := func(p *corev1.Pod) metav1.DeleteOptions {
		return metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{ResourceVersion: &p.ResourceVersion}}
	}
	p := c.pod(t, ns, node, "a", lasting)
	if err := pods.Delete(t.Context(), "a", at(p)); !apierrors.IsConflict(err) {
		t.Fatalf("the first delete ended with %v, want a conflict with our own write", err)
	}
	p = c.alive(t, ns, "a")
	if got := p.Annotations[keys.Pod.Reason]; got != string(unexplained.Text) {
		t.Errorf("after the conflict the pod carries %q", got)
	}
	if err := pods.Delete(t.Context(), "a", at(p)); err != nil {
		t.Fatalf("the retry: %v", err)
	}
	if err := c.as(t, cleaner).CoreV1().Pods(ns).Delete(t.Context(), "a", atOnce); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/a", unexplained)
}
