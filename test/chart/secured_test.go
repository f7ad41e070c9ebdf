//go:build linux

package chart

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// secured has Pod Security Admission judge the pods: a manager without the host's network is fit
// for the strictest level, whatever else is switched on; with it, and the agent in any case, only
// for the level that forbids nothing.
func secured(t *testing.T, c *cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	var manager appsv1.Deployment
	if !into(t, objects, "Deployment", "epitaph-manager", &manager) {
		t.Fatal("there is no manager")
	}
	refused := ""
	if manager.Spec.Template.Spec.HostNetwork {
		refused = "host namespaces (hostNetwork=true)"
	}
	c.admitted(t, "restricted", manager.Spec.Template.Spec, refused)
	c.admitted(t, "privileged", manager.Spec.Template.Spec, "")
	var agent appsv1.DaemonSet
	if into(t, objects, "DaemonSet", "epitaph-agent", &agent) {
		c.admitted(t, "baseline", agent.Spec.Template.Spec, "host namespaces (hostNetwork=true")
		c.admitted(t, "privileged", agent.Spec.Template.Spec, "")
	}
}

// admitted asks whether a namespace of a level takes the pod, and creates none.
func (c *cluster) admitted(t *testing.T, level string, spec corev1.PodSpec, refused string) {
	t.Helper()
	ns := "level-" + level
	_, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: ns,
			Labels: map[string]string{"pod-security.kubernetes.io/enforce": level}},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	// Neither its account nor its quota is in that namespace.
	spec.ServiceAccountName, spec.PriorityClassName = "", ""
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec}
	var said error
	eventually(t, "the namespace has its service account", func(ctx context.Context) (bool, error) {
		_, said = c.client.CoreV1().Pods(ns).Create(ctx, pod,
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return said == nil || !strings.Contains(said.Error(), "serviceaccount"), nil
	})
	if (said == nil) != (refused == "") || said != nil && !strings.Contains(said.Error(), refused) {
		t.Errorf("a namespace with the level %s answers %v, want %q", level, said, refused)
	}
}
