package e2e

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Our write is refused. Where RBAC withholds the right, what becomes of the delete is for the
// failure policy to say; a denial it never is, and each time it is counted as a fault. Where
// somebody else's policy refuses, it would refuse for ever: the delete goes through. Nobody is
// warned of a pod that goes on terminating, since its reason is written later; it is counted all
// the same.
func TestOurWriteIsRefusedWhateverThePolicy(t *testing.T) {
	t.Parallel()
	for _, policy := range []config.FailurePolicy{config.FailOpen, config.FailClosed} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			c := ownCluster(t,
				sandbox.Options{Epitaph: sandbox.EpitaphOptions{
					Configure: func(k *config.Config) {
						alone(k)
						k.Webhook.FailurePolicy = policy
					}}})
			t.Run("by RBAC", func(t *testing.T) {
				ns, node := c.namespace(t), c.node(t).Name
				c.pod(t, ns, node, "a")
				c.mayPatch(t, "get")
				c.eventuallyMay(t, ns, false)
				c.deleteEndsIn(t, ns, policy, "cannot patch resource")
				c.mayPatch(t, "patch")
				c.eventuallyMay(t, ns, true)
				c.goesAfterAll(t, ns, policy)
			})
			t.Run("by a policy", func(t *testing.T) {
				ns, node := c.namespace(t), c.node(t).Name
				c.pod(t, ns, node, "a")
				c.refuse(t, ns, admissionregistrationv1.Update,
					"pods/status", "!request.userInfo.username.endsWith(':epitaph-manager')")
				c.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
					err := c.patchAsEpitaph(ctx, t, ns)
					return err != nil && strings.Contains(err.Error(), "failed expression"), nil
				})
				unwritable := c.decisions(t, "unwritable")
				deleter, warned := c.warned(t, runner)
				c.pod(t, ns, node, "lingers", slowly)
				for name, options := range map[string]metav1.DeleteOptions{
					"a": atOnce, "lingers": {}} {
					if err := deleter.CoreV1().Pods(ns).Delete(t.Context(), name,
						options); err != nil {
						t.Fatalf("the delete of %s ended with %v, want it allowed", name, err)
					}
				}
				wantWarned(t, warned, "failed expression")
				c.eventually(t, "both are counted as unwritable",
					func(context.Context) (bool, error) {
						return c.decisions(t, "unwritable")-unwritable >= 2, nil
					})
			})
		})
	}
}

// deleteEndsIn deletes pod a, and checks that what we could not write ends as the policy wants,
// with the words of whoever refused.
func (c *cluster) deleteEndsIn(t *testing.T, ns string, policy config.FailurePolicy,
	refusal string) {
	t.Helper()
	faults := c.decisions(t, "fault")
	deleter, warned := c.warned(t, runner)
	err := deleter.CoreV1().Pods(ns).Delete(t.Context(), "a", atOnce)
	// If the pod changes meanwhile, the API server asks once more.
	if n := c.decisions(t, "fault") - faults; n < 1 || n > 2 {
		t.Errorf("%v faults were counted, want 1", n)
	}
	switch policy {
	case config.FailOpen:
		if err != nil {
			t.Fatalf("the delete ended with %v, want it allowed", err)
		}
		wantWarned(t, warned, refusal)
	case config.FailClosed:
		var status apierrors.APIStatus
		if !errors.As(err, &status) || status.Status().Code != http.StatusInternalServerError ||
			!strings.Contains(err.Error(), "failed calling webhook") {
			t.Fatalf("the delete ended with %v, want a call that failed and no denial", err)
		}
		c.alive(t, ns, "a")
	}
}

// wantWarned checks that a client was warned, with the words of whoever refused.
func wantWarned(t *testing.T, warned *warnings, refusal string) {
	t.Helper()
	if !strings.Contains(warned.String(), "epitaph: the reason could not be written: ") ||
		!strings.Contains(warned.String(), refusal) {
		t.Errorf("warned %q, want that the reason could not be written, and %q", warned, refusal)
	}
}

// goesAfterAll checks that a pod that had to stay can go once our write is not refused any more.
func (c *cluster) goesAfterAll(t *testing.T, ns string, policy config.FailurePolicy) {
	t.Helper()
	if policy == config.FailOpen {
		return
	}
	if err := c.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(),
		"a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/a", unexplained)
}

// mayPatch gives Epitaph's role a verb for pods/status in place of the one that it had.
func (c *cluster) mayPatch(t *testing.T, verb string) {
	t.Helper()
	roles := c.client.RbacV1().ClusterRoles()
	role, err := roles.Get(t.Context(), "epitaph-manager", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range role.Rules {
		for _, resource := range role.Rules[n].Resources {
			if resource == "pods/status" {
				role.Rules[n].Verbs = []string{verb}
			}
		}
	}
	if _, err := roles.Update(t.Context(), role, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventuallyMay waits until the API server knows what Epitaph may do.
func (c *cluster) eventuallyMay(t *testing.T, ns string, may bool) {
	t.Helper()
	c.eventually(t, "the role is in force", func(ctx context.Context) (bool, error) {
		return apierrors.IsForbidden(c.patchAsEpitaph(ctx, t, ns)) != may, nil
	})
}

// patchAsEpitaph tries a write as Epitaph makes it.
func (c *cluster) patchAsEpitaph(ctx context.Context, t *testing.T, ns string) error {
	t.Helper()
	epitaph := c.clientFor(t, c.As("system:serviceaccount:epitaph-system:epitaph-manager"))
	_, err := epitaph.CoreV1().Pods(ns).Patch(ctx, "a", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"epitaph-k8s.io/reason-written":"tried"}}}`),
		metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}}, "status")
	return err
}
