//go:build linux

package chart

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// into finds the object of a kind and name, and tells whether there is one.
func into(t *testing.T, objects []*unstructured.Unstructured, kind, name string, object any) bool {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == kind && o.GetName() == name {
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, object))
			return true
		}
	}
	return false
}

// policed wants the NetworkPolicy to let in whatever the manager listens for, each for somebody,
// and nothing else; but for the probes' port, which only the kubelet of the pod's own node needs.
func policed(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	var policy networkingv1.NetworkPolicy
	if !into(t, objects, "NetworkPolicy", "epitaph-manager", &policy) {
		return
	}
	var manager appsv1.Deployment
	if !into(t, objects, "Deployment", "epitaph-manager", &manager) {
		t.Fatal("there is a NetworkPolicy, and no manager")
	}
	if diff := cmp.Diff(manager.Spec.Selector, &policy.Spec.PodSelector); diff != "" {
		t.Errorf("the policy is for other pods than the manager's (-manager +policy):\n%s", diff)
	}
	listens, lets := map[string]bool{}, map[string]bool{}
	for _, p := range manager.Spec.Template.Spec.Containers[0].Ports {
		if p.Name != "health" {
			listens[portName(p.Name, p.Protocol)] = true
		}
	}
	for _, rule := range policy.Spec.Ingress {
		for _, p := range rule.Ports {
			lets[portName(p.Port.String(), *p.Protocol)] = true
		}
	}
	if got, want := slices.Sorted(maps.Keys(lets)),
		slices.Sorted(maps.Keys(listens)); !slices.Equal(got, want) {
		t.Errorf("the policy lets %v in, and the manager listens for %v", got, want)
	}
}

func portName(name string, protocol corev1.Protocol) string {
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	return fmt.Sprintf("%s/%s", name, protocol)
}

// criticalPods shows that the manager's pods have come about only since the chart has a quota for
// them.
func criticalPods(t *testing.T, c *cluster) {
	critical := victim("critical")
	critical.Spec.PriorityClassName = "system-cluster-critical"
	for ns, want := range map[string]string{namespace: "",
		metav1.NamespaceDefault: "insufficient quota to match these scopes"} {
		critical.Namespace = ns
		_, err := c.client.CoreV1().Pods(ns).Create(t.Context(), critical,
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("a critical pod in %s ended with %v, want %q", ns, err, want)
		}
	}
}

// labelled wants every object that is not a definition to say whose it is.
func labelled(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			continue
		}
		labels := o.GetLabels()
		if labels["app.kubernetes.io/name"] != "epitaph" ||
			labels["app.kubernetes.io/instance"] != release {
			t.Errorf("%s %s has the labels %v", o.GetKind(), o.GetName(), labels)
		}
	}
}
