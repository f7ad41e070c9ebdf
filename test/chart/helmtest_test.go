//go:build linux

package chart

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// examiner is the name of the test's pod, its account and its roles.
const examiner = "epitaph-test"

// examine is the command of the documentation.
func (c *cluster) examine(t *testing.T) (string, error) {
	t.Helper()
	c.led(t)
	return c.tryHelm(t, "test", release, "--namespace", namespace, "--logs", "--timeout=1m")
}

// led waits until a replica leads. The Lease of an installation that was here before has to run out
// first: with its rights gone, its leader could not give it back.
func (c *cluster) led(t *testing.T) {
	t.Helper()
	eventually(t, "a replica leads", func(ctx context.Context) (bool, error) {
		lease, err := c.client.CoordinationV1().Leases(namespace).Get(ctx,
			"epitaph", metav1.GetOptions{})
		if err != nil || lease.Spec.RenewTime == nil {
			return false, client.IgnoreNotFound(err)
		}
		return time.Since(lease.Spec.RenewTime.Time) < 5*time.Second, nil
	})
}

// examined wants a good installation to pass, and nothing of the test to stay.
func examined(t *testing.T, c *cluster) {
	said, err := c.examine(t)
	must(t, err)
	for _, want := range []string{
		"ok      CRD PodObituary        is served, and you may read it",
		"ok      CRD NodeObituary       is served, and you may read it",
		"ok      CRD OwnerObituary      is served, and you may read it",
		"ok      rights over owners     the manager may read what pods belong to",
		"ok      webhook answers        yes: the API server reaches it and trusts it",
		"webhook callers        ",
		"ok      leader                 ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("helm test printed\n%s\nwithout %q", said, want)
		}
	}
	_, err = c.client.CoreV1().Pods(namespace).Get(t.Context(), examiner, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the test's pod is still there: %v", err)
	}
	c.rightsAreGone(t)
}

// rightsAreGone looks for what the test was allowed to do.
func (c *cluster) rightsAreGone(t *testing.T) {
	t.Helper()
	for what, get := range map[string]func(context.Context) error{
		"account": func(ctx context.Context) error {
			_, err := c.client.CoreV1().ServiceAccounts(namespace).Get(ctx, examiner,
				metav1.GetOptions{})
			return err
		},
		"role": func(ctx context.Context) error {
			_, err := c.client.RbacV1().Roles(namespace).Get(ctx, examiner, metav1.GetOptions{})
			return err
		},
		"cluster role": func(ctx context.Context) error {
			_, err := c.client.RbacV1().ClusterRoles().Get(ctx, examiner, metav1.GetOptions{})
			return err
		},
		"binding": func(ctx context.Context) error {
			_, err := c.client.RbacV1().RoleBindings(namespace).Get(ctx, examiner,
				metav1.GetOptions{})
			return err
		},
		"cluster binding": func(ctx context.Context) error {
			_, err := c.client.RbacV1().ClusterRoleBindings().Get(ctx, examiner,
				metav1.GetOptions{})
			return err
		},
	} {
		if err := get(t.Context()); !apierrors.IsNotFound(err) {
			t.Errorf("the test's %s is still there: %v", what, err)
		}
	}
}

// illnesses are what helm test must find, each in an installation that was well before.
func illnesses(t *testing.T, c *cluster) {
	const unanswered = "BROKEN  webhook answers        no: the API server let a pod pass that it should have shown to the webhook"
	for name, spoil := range map[string]func(*testing.T) (amend func(*testing.T)){
		"the bundle is another authority's": func(t *testing.T) func(*testing.T) {
			certificate, _ := selfSigned(t, time.Now().Add(time.Hour))
			c.setBundle(t, certificate)
			return c.injectAgain
		},
		"the Service points nowhere": func(t *testing.T) func(*testing.T) {
			c.selects(t, "nobody")
			return func(t *testing.T) { c.selects(t, "manager") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			amend := spoil(t)
			// The API server and the endpoints follow.
			var said string
			var err error
			defer func() {
				if t.Failed() {
					t.Logf("helm test said last: %s\n%v", said, err)
				}
			}()
			eventually(t, "helm test finds it", func(context.Context) (bool, error) {
				said, err = c.examine(t)
				return err != nil && strings.Contains(err.Error(), unanswered), nil
			})
			c.failed(t)
			amend(t)
			eventually(t, "the Service has both replicas",
				func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
			eventually(t, "helm test succeeds again", func(context.Context) (bool, error) {
				_, err := c.examine(t)
				return err == nil, nil
			})
			examined(t, c)
		})
	}
}

// failed wants the test's pod to stay, for its log to be read, and its rights to be gone.
func (c *cluster) failed(t *testing.T) {
	t.Helper()
	pod, err := c.client.CoreV1().Pods(namespace).Get(t.Context(), examiner, metav1.GetOptions{})
	must(t, err)
	if pod.Status.Phase != corev1.PodFailed ||
		pod.Status.ContainerStatuses[0].State.Terminated.ExitCode != 1 {
		t.Errorf("the test's pod is %+v, want it failed with exit code 1", pod.Status)
	}
	log, err := c.client.CoreV1().Pods(namespace).GetLogs(examiner,
		&corev1.PodLogOptions{}).DoRaw(t.Context())
	must(t, err)
	if want := "something is broken: see above"; !strings.Contains(string(log), want) {
		t.Errorf("the test's pod logged\n%s\nwithout %q", log, want)
	}
	c.rightsAreGone(t)
}

// selects changes which pods the webhook's Service leads to.
func (c *cluster) selects(t *testing.T, component string) {
	t.Helper()
	patch := []byte(`{"spec":{"selector":{"app.kubernetes.io/component":"` + component + `"}}}`)
	_, err := c.client.CoreV1().Services(namespace).Patch(t.Context(),
		"epitaph-webhook", types.MergePatchType, patch, metav1.PatchOptions{})
	must(t, err)
}
