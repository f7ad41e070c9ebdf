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

	"github.com/epitaph-k8s/epitaph/webhook"
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
	eventually(t, "the replicas are gone", func(context.Context) (bool, error) { return len(c.replicas(t)) == 0, nil })
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
	c.helm(t, "upgrade", release, c.chart, "--namespace", namespace, "--reuse-values", "--set", "podAnnotations.rollout=again", "--wait", "--timeout=5m")
	l.stopUnharmed(t, "at a rollout with more replicas for a while", true)
	if !c.issued(t, madeSecret).Equal(issued) {
		t.Errorf("the upgrade has made another certificate")
	}
	c.uninstalls(t)
}

func (c *cluster) installClosed(t *testing.T) {
	t.Helper()
	c.helm(t, "install", release, c.chart, "--namespace", namespace, "--wait", "--timeout=3m",
		"--set", "certificates.mode=helm,config.netconsole.enabled=false,config.webhook.failurePolicy=Fail")
	eventually(t, "the Service has both replicas", func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
}

// deploymentFirst takes the replicas away before the webhook configuration: deletes fail, as Fail says, until that goes.
func deploymentFirst(t *testing.T, c *cluster) {
	c.installClosed(t)
	must(t, c.client.AppsV1().Deployments(namespace).Delete(t.Context(), "epitaph-manager", metav1.DeleteOptions{}))
	eventually(t, "the replicas are gone", func(ctx context.Context) (bool, error) {
		return len(c.replicas(t)) == 0 && len(c.endpoints(ctx)) == 0, nil
	})
	pods := c.as(t, program).CoreV1().Pods(metav1.NamespaceDefault)
	_, err := pods.Create(t.Context(), victim("orphan"), metav1.CreateOptions{})
	must(t, err)
	err = pods.Delete(t.Context(), "orphan", metav1.DeleteOptions{})
	if err == nil || !strings.Contains(err.Error(), `failed calling webhook "`+webhook.PodsWebhook+`"`) {
		t.Errorf("the delete ended with %v, want it failed", err)
	}
	c.helm(t, "uninstall", release, "--namespace", namespace, "--wait", "--timeout=5m")
	must(t, pods.Delete(t.Context(), "orphan", metav1.DeleteOptions{}))
	left := &unstructured.UnstructuredList{}
	left.SetAPIVersion("admissionregistration.k8s.io/v1")
	left.SetKind("MutatingWebhookConfigurationList")
	must(t, c.objects.List(t.Context(), left))
	for _, o := range left.Items {
		t.Errorf("the webhook configuration %s is left", o.GetName())
	}
}
