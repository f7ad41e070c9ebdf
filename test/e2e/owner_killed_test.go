package e2e

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// lastingTemplate is of pods that take longer to end than anything here.
func lastingTemplate(ns, node string) corev1.PodTemplateSpec {
	p := podSpec(ns, node, "", lasting)
	return corev1.PodTemplateSpec{Spec: p.Spec,
		ObjectMeta: metav1.ObjectMeta{Labels: web, Annotations: p.Annotations}}
}

// The replica that was asked about the deletion of owners is killed as soon as it has answered.
// About their pods nobody is asked, and each says who did it all the same, and so does its record.
func TestWhoDeletedTheOwnerOutlivesAKill(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: quick}})
	second, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Stop)
	running, pending, node := c.namespace(t), c.namespace(t), c.node(t).Name
	const many = 4
	deploy := func(ns, node string, replicas int32) {
		t.Helper()
		if _, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "web"},
			Spec: appsv1.DeploymentSpec{Replicas: &replicas, Template: lastingTemplate(ns, node),
				Selector: &metav1.LabelSelector{MatchLabels: web}},
		}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		c.eventually(t, "the Deployment knows its pods", func(ctx context.Context) (bool, error) {
			d, err := c.client.AppsV1().Deployments(ns).Get(ctx, "web", metav1.GetOptions{})
			return err == nil && d.Status.Replicas == replicas, err
		})
	}
	c.activeJob(t, running, node, func(j *batchv1.Job) {
		j.Spec.Template = lastingTemplate(running, node)
		j.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	})
	deploy(running, node, many)
	// Of a pod that has no node, nothing but its record remains.
	deploy(pending, "no-such-node", 1)
	says := map[string]reason.Reason{}
	var names []string
	for _, p := range c.running(t, running, many+1, "") {
		names = append(names, p.Name)
		says[p.Name] = ownerDeleted("carol deleted Deployment web", "carol")
		if metav1.GetControllerOf(&p).Kind == "Job" {
			says[p.Name] = ownerDeleted("carol deleted Job work", "carol")
		}
	}
	waiting, err := c.client.CoreV1().Pods(pending).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(waiting.Items) != 1 {
		t.Fatalf("%d pods wait for a node (%v)", len(waiting.Items), err)
	}

	carol, how := c.as(t, "carol"), metav1.DeleteOptions{PropagationPolicy: ptr.To(
		metav1.DeletePropagationBackground)}
	for _, remove := range []func() error{
		func() error { return carol.BatchV1().Jobs(running).Delete(t.Context(), "work", how) },
		func() error {
			return carol.AppsV1().Deployments(pending).Delete(t.Context(), "web", how)
		},
		func() error {
			return carol.AppsV1().Deployments(running).Delete(t.Context(), "web", how)
		},
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
	}
	c.Epitaph.Kill()

	c.haveReasons(t, running, names)
	for _, name := range names {
		if err := c.as(t, cleaner).CoreV1().Pods(running).Delete(t.Context(), name,
			atOnce); err != nil {
			t.Errorf("end %s: %v", name, err)
		}
		c.leaves(t, reason.Pod, running+"/"+name, says[name])
		c.wantRecord(t, running, name, says[name])
	}
	c.wantRecord(t, pending, waiting.Items[0].Name,
		ownerDeleted("carol deleted Deployment web", "carol"))
}
