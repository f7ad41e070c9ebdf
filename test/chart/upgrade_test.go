//go:build linux

package chart

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/test/registration"
	"github.com/epitaph-k8s/epitaph/webhook"
)

var (
	certificates = schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1",
		Kind: "Certificate"}
	obituaries = schema.GroupVersionKind{Group: "epitaph-k8s.io", Version: "v1alpha1",
		Kind: "PodObituary"}
)

// named is an object of a kind that has no Go type here.
func named(kind schema.GroupVersionKind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// upgradeToFail changes the configuration of both replicas while pods are deleted: a rollout, in
// which no delete may fail. Helm applies the registration at once, and waits then: the replicas go
// and come with Fail.
func upgradeToFail(t *testing.T, c *cluster) {
	before := c.replicas(t)
	l := c.startLoad(t)
	c.helm(t, "upgrade", release, c.chart, "--namespace", namespace,
		"--set", "config.webhook.failurePolicy=Fail", "--wait", "--timeout=5m")
	l.stopUnharmed(t, "at the upgrade", true)
	c.policyIs(t, admissionregistrationv1.Fail)
	c.allReplaced(t, before, 2)
}

func (c *cluster) policyIs(t *testing.T, want admissionregistrationv1.FailurePolicyType) {
	t.Helper()
	registered, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(
		t.Context(), webhook.ConfigurationName, metav1.GetOptions{})
	must(t, err)
	for _, w := range registered.Webhooks {
		if w.Name == registration.PodsWebhook && ptr.Deref(w.FailurePolicy, "") != want {
			t.Errorf("webhook %s has the policy %s, want %s", w.Name, *w.FailurePolicy, want)
		}
		if len(w.ClientConfig.CABundle) == 0 {
			t.Errorf("webhook %s has lost its caBundle", w.Name)
		}
	}
}

// allReplaced waits for so many replicas, none of them of those before.
func (c *cluster) allReplaced(t *testing.T, before []corev1.Pod, replicas int) {
	t.Helper()
	old := map[string]bool{}
	for _, p := range before {
		old[p.Name] = true
	}
	eventually(t, "the old replicas are gone", func(context.Context) (bool, error) {
		now := c.replicas(t)
		for _, p := range now {
			if old[p.Name] {
				return false, nil
			}
		}
		return len(now) == replicas, nil
	})
}

// renewed has cert-manager renew the serving certificate, and then the authority and the serving
// certificate once more.
func renewed(t *testing.T, c *cluster) {
	for _, names := range [][]string{{"epitaph-webhook"}, {"epitaph-ca", "epitaph-webhook"}} {
		t.Run(strings.Join(names, " and "), func(t *testing.T) {
			l := c.startLoad(t)
			for _, k := range c.kubelets {
				k.Freeze(true)
			}
			for _, name := range names {
				c.renew(t, name)
			}
			issued := c.issued(t, issuedSecret)
			eventually(t, "its authority is injected",
				func(context.Context) (bool, error) { return c.verifies(t, issued) == nil, nil })
			// The replicas serve what they have until the kubelets have projected the new one. It
			// is accepted: where the authority is new, the CA injector keeps the old one beside it.
			goesOn(t, l)
			for _, p := range c.replicas(t) {
				served := serves(t, p.Status.PodIP)
				if served.Equal(issued) {
					t.Errorf("%s serves the new certificate while the kubelets project nothing",
						p.Name)
				}
				must(t, c.verifies(t, served))
			}
			for _, k := range c.kubelets {
				k.Freeze(false)
			}
			c.allServe(t, issued)
			// New connections are verified against the bundle that is there now.
			goesOn(t, l)
			l.stopUnharmed(t, "at the renewal of "+strings.Join(names, " and "), true)
			must(t, c.verifies(t, issued))
		})
	}
}

// verifies does with the certificate what the API server does, for each of the webhooks.
func (c *cluster) verifies(t *testing.T, served *x509.Certificate) error {
	t.Helper()
	registered, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(
		t.Context(), webhook.ConfigurationName, metav1.GetOptions{})
	must(t, err)
	if len(registered.Webhooks) != 8 {
		return fmt.Errorf("%d webhooks are registered, want 8", len(registered.Webhooks))
	}
	for _, w := range registered.Webhooks {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(w.ClientConfig.CABundle)
		if _, err := served.Verify(x509.VerifyOptions{DNSName: serverName,
			Roots: roots}); err != nil {
			return fmt.Errorf("webhook %s: %w", w.Name, err)
		}
	}
	return nil
}

// renew asks cert-manager as `cmctl renew` does: by the condition Issuing. It returns when the next
// revision is there.
func (c *cluster) renew(t *testing.T, name string) {
	t.Helper()
	o := named(certificates, namespace, name)
	key := client.ObjectKeyFromObject(o)
	must(t, c.objects.Get(t.Context(), key, o))
	before, _, err := unstructured.NestedInt64(o.Object, "status", "revision")
	must(t, err)
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	must(t, err)
	conditions = append(conditions, map[string]any{
		"type": "Issuing", "status": "True", "reason": "ManuallyTriggered",
		"message":            "renewed by hand",
		"lastTransitionTime": metav1.Now().UTC().Format("2006-01-02T15:04:05Z"),
		"observedGeneration": o.GetGeneration(),
	})
	must(t, unstructured.SetNestedSlice(o.Object, conditions, "status", "conditions"))
	must(t, c.objects.Status().Update(t.Context(), o))
	eventually(t, name+" is renewed", func(ctx context.Context) (bool, error) {
		if err := c.objects.Get(ctx, key, o); err != nil {
			return false, err
		}
		now, _, err := unstructured.NestedInt64(o.Object, "status", "revision")
		return now > before, err
	})
}

// upgradeProgram has both replicas run another version of the program.
func upgradeProgram(t *testing.T, c *cluster) {
	c.allRun(t, appVersion)
	before := c.replicas(t)
	l := c.startLoad(t)
	c.helm(t, "upgrade", release, c.chart, "--namespace", namespace,
		"--reuse-values", "--set", "image.tag="+nextVersion, "--wait", "--timeout=5m")
	l.stopUnharmed(t, "at the upgrade to another program", true)
	c.policyIs(t, admissionregistrationv1.Fail)
	c.allReplaced(t, before, 2)
	c.allRun(t, nextVersion)
}

// allRun wants every replica to have said that it is of that version.
func (c *cluster) allRun(t *testing.T, version string) {
	t.Helper()
	logs := c.logs(t)
	for _, p := range c.replicas(t) {
		if want := `"msg":"starting","version":"` + version +
			`"`; !strings.Contains(logs[p.UID], want) {
			t.Errorf("%s has not logged %s", p.Name, want)
		}
	}
}

// rollback is the first revision again: the configuration and the program.
func rollback(t *testing.T, c *cluster) {
	before := c.replicas(t)
	l := c.startLoad(t)
	c.helm(t, "rollback", release, "1", "--namespace", namespace, "--wait", "--timeout=5m")
	l.stopUnharmed(t, "at the rollback", true)
	c.policyIs(t, admissionregistrationv1.Ignore)
	c.allReplaced(t, before, 2)
	c.allRun(t, appVersion)
	c.denies(t, "rolled-back")
}

// anotherSource changes where the certificate comes from, with the command of the documentation.
func anotherSource(t *testing.T, c *cluster) {
	upgrade := []string{"upgrade", release, c.chart, "--namespace", namespace,
		"--set", "certificates.mode=helm", "--wait", "--timeout=5m"}
	if _, err := c.tryHelm(t, upgrade...); err == nil ||
		!strings.Contains(err.Error(), "conflict") {
		t.Errorf(
			"without --force-conflicts, helm upgrade ended with %v, want a conflict with cert-manager", err)
	}
	c.helm(t, append(upgrade, "--force-conflicts")...)
	must(t, c.verifies(t, c.issued(t, madeSecret)))
	c.denies(t, "another-source")
}
