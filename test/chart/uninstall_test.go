//go:build linux

package chart

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/test/registration"
)

// uninstall deletes while Helm does: nothing of Epitaph may be missed.
func uninstall(t *testing.T, c *cluster) {
	c.uninstalls(t)
}

// uninstalls takes the release away under a load, and looks for what is left.
func (c *cluster) uninstalls(t *testing.T) {
	t.Helper()
	objects := c.template(t)
	l := c.startLoad(t)
	c.helm(t, "uninstall", release, "--namespace", namespace, "--wait", "--timeout=5m")
	goesOn(t, l)
	l.stopUnharmed(t, "at the uninstallation", false)
	for _, o := range objects {
		stays := o.GetKind() == "CustomResourceDefinition"
		err := c.objects.Get(t.Context(), client.ObjectKeyFromObject(o), o)
		switch {
		case stays && err != nil:
			t.Errorf("definition %s is gone with its obituaries: %v", o.GetName(), err)
		case !stays && err == nil:
			t.Errorf("%s %s is left", o.GetKind(), o.GetName())
		case !stays && !apierrors.IsNotFound(err) && !meta.IsNoMatchError(err):
			t.Errorf("look for %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	eventually(t, "the replicas are gone", func(context.Context) (bool,
		error) {
		return len(c.replicas(t)) == 0, nil
	})
}

// withoutCertManager has Helm make the certificate, nothing in the host's network, and Fail.
func withoutCertManager(t *testing.T, c *cluster) {
	c.installClosed(t)
	for _, p := range c.replicas(t) {
		if p.Spec.HostNetwork {
			t.Errorf("%s is in the host's network without a listener", p.Name)
		}
		must(t, c.verifies(t, serves(t, p.Status.PodIP)))
	}
	issued := c.issued(t, madeSecret)
	c.denies(t, "without-cert-manager")
	l := c.startLoad(t)
	c.helm(t, "upgrade", release, c.chart, "--namespace", namespace,
		"--reuse-values", "--set", "podAnnotations.rollout=again", "--wait", "--timeout=5m")
	l.stopUnharmed(t, "at a rollout with more replicas for a while", true)
	if !c.issued(t, madeSecret).Equal(issued) {
		t.Errorf("the upgrade has made another certificate")
	}
	c.renews(t, issued)
	c.uninstalls(t)
}

func (c *cluster) installClosed(t *testing.T) {
	t.Helper()
	c.helm(t, "install", release, c.chart, "--namespace", namespace, "--wait", "--timeout=3m",
		"--set",
		"certificates.mode=helm,config.netconsole.enabled=false,config.webhook.failurePolicy=Fail")
	eventually(t, "the Service has both replicas",
		func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
}

// deploymentFirst takes the replicas away before the webhook configuration: deletes fail, as Fail
// says, until that goes.
func deploymentFirst(t *testing.T, c *cluster) {
	c.installClosed(t)
	must(t, c.client.AppsV1().Deployments(namespace).Delete(t.Context(),
		"epitaph-manager", metav1.DeleteOptions{}))
	eventually(t, "the replicas are gone", func(ctx context.Context) (bool, error) {
		return len(c.replicas(t)) == 0 && len(c.endpoints(ctx)) == 0, nil
	})
	pods := c.as(t, program).CoreV1().Pods(metav1.NamespaceDefault)
	_, err := pods.Create(t.Context(), victim("orphan"), metav1.CreateOptions{})
	must(t, err)
	err = pods.Delete(t.Context(), "orphan", metav1.DeleteOptions{})
	if err == nil || !strings.Contains(err.Error(),
		`failed calling webhook "`+registration.PodsWebhook+`"`) {
		t.Errorf("the delete ended with %v, want it failed", err)
	}
	c.helm(t, "uninstall", release, "--namespace", namespace, "--wait", "--timeout=5m")
	must(t, pods.Delete(t.Context(), "orphan", metav1.DeleteOptions{}))
	c.nothingIsRegistered(t)
}

func (c *cluster) nothingIsRegistered(t *testing.T) {
	t.Helper()
	left := &unstructured.UnstructuredList{}
	left.SetAPIVersion("admissionregistration.k8s.io/v1")
	left.SetKind("MutatingWebhookConfigurationList")
	must(t, c.objects.List(t.Context(), left))
	for _, o := range left.Items {
		t.Errorf("the webhook configuration %s is left", o.GetName())
	}
}

// certManagerFirst takes cert-manager's definitions away before Epitaph, and Epitaph's Certificates
// with them. What runs goes on; Helm takes nothing away that it cannot name, and all of it once it
// can again.
func certManagerFirst(t *testing.T, c *cluster) {
	c.helm(t, "install", release, c.chart, "--namespace", namespace,
		"--set", "config.webhook.failurePolicy=Fail", "--wait", "--timeout=3m")
	c.serving(t, "with-cert-manager")
	c.allTell(t, "epitaph-webhook", 1)
	before := c.logs(t)
	definitions := c.takeAway(t, "cert-manager.io")
	c.allSay(t, before, outOfOrder,
		"cert-manager's definitions are not installed: install cert-manager, or choose another source of certificates")
	c.allTell(t, "epitaph-webhook", -1)
	l := c.startLoad(t)
	goesOn(t, l)
	c.discovery = t.TempDir() // as on another machine: Helm remembers kinds for hours
	_, err := c.tryHelm(t, "uninstall", release, "--namespace", namespace, "--wait", "--timeout=5m")
	if err == nil || !strings.Contains(err.Error(), `failed to delete release: `+release) {
		t.Errorf("helm uninstall ended with %v, want it refused", err)
	}
	goesOn(t, l)
	l.stopUnharmed(t, "without cert-manager's definitions", true)
	for _, o := range definitions {
		must(t, c.objects.Create(t.Context(), o))
	}
	// Helm finds them once the API server serves them.
	eventually(t, "helm uninstall succeeds", func(context.Context) (bool, error) {
		_, err := c.tryHelm(t, "uninstall", release, "--namespace", namespace,
			"--wait", "--timeout=5m")
		return err == nil, nil
	})
	eventually(t, "the replicas are gone", func(context.Context) (bool,
		error) {
		return len(c.replicas(t)) == 0, nil
	})
	c.nothingIsRegistered(t)
}

// takeAway deletes a group's definitions, and returns them as they can be created again.
func (c *cluster) takeAway(t *testing.T, group string) (definitions []client.Object) {
	t.Helper()
	all := &unstructured.UnstructuredList{}
	all.SetAPIVersion("apiextensions.k8s.io/v1")
	all.SetKind("CustomResourceDefinitionList")
	must(t, c.objects.List(t.Context(), all))
	for _, o := range all.Items {
		if in, _, _ := unstructured.NestedString(o.Object, "spec", "group"); in != group {
			continue
		}
		must(t, c.objects.Delete(t.Context(), o.DeepCopy()))
		eventually(t, o.GetName()+" is gone", func(ctx context.Context) (bool, error) {
			err := c.objects.Get(ctx, client.ObjectKeyFromObject(&o), o.DeepCopy())
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		unstructured.RemoveNestedField(o.Object, "status")
		o.SetResourceVersion("")
		o.SetUID("")
		definitions = append(definitions, &o)
	}
	return definitions
}
