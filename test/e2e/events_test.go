package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// allDisrupted is what a Job is told that has counted disruptions alone.
func allDisrupted(failures int) string {
	return fmt.Sprintf("All failures that the Job counts (%d) were disruptions; "+
		"a podFailurePolicy that ignores DisruptionTarget would not have counted them.", failures)
}

// Pods of a Job that are evicted together make one Event, on the Job and on their node, which counts
// them; what goes for another cause makes one of its own.
func TestPodsThatLeaveTogetherAreOneEvent(t *testing.T) {
	t.Parallel()
	const many = 20
	ns, node := shared.namespace(t), shared.node(t).Name
	spec := batchv1.JobSpec{Parallelism: ptr.To(int32(many + 1)), BackoffLimit: ptr.To(int32(10 * many)),
		Template: corev1.PodTemplateSpec{Spec: podSpec(ns, node, "").Spec}}
	spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	job, err := shared.client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "etl"}, Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var pods []corev1.Pod
	shared.eventually(t, "the Job runs", func(context.Context) (bool, error) {
		pods = slices.DeleteFunc(shared.podsIn(t, ns), func(p corev1.Pod) bool {
			return p.Status.Phase != corev1.PodRunning
		})
		return len(pods) == many+1, nil
	})
	as := shared.as(t, runner).CoreV1().Pods(ns)
	for _, p := range pods[1:] {
		if err := as.EvictV1(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Namespace: ns}}); err != nil {
			t.Fatal(err)
		}
	}
	shared.oneEvent(t, ns, job.UID, many, "20 pods left: Evicted (disruption). "+allDisrupted(many))
	other := pods[0].Name
	shared.annotate(t, ns, other, "not this one")
	shared.remove(t, shared.as(t, "alice"), ns, other)
	shared.oneEvent(t, ns, job.UID, 1, "Pod "+other+" left: not this one")
	shared.oneEvent(t, ns, job.UID, many, "20 pods left: Evicted (disruption). ")

	where, err := shared.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	shared.oneEvent(t, metav1.NamespaceDefault, where.UID, many,
		"20 pods of this node left: Evicted (disruption)")
}

// oneEvent waits until exactly one Event about an object counts so many pods and begins so.
func (c *cluster) oneEvent(t *testing.T, namespace string, about any, count int32, note string) {
	t.Helper()
	var told []string
	defer func() {
		if t.Failed() {
			t.Logf("what is told: %q", told)
		}
	}()
	c.eventually(t, fmt.Sprintf("%q is told once", note), func(ctx context.Context) (bool, error) {
		all, err := c.client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{
			FieldSelector: fmt.Sprintf("involvedObject.uid=%v,source=epitaph-audit", about)})
		if err != nil {
			return false, err
		}
		n := 0
		told = nil
		for _, e := range all.Items {
			told = append(told, fmt.Sprintf("%d times: %s", e.Count, e.Message))
			if e.Count == count && strings.HasPrefix(e.Message, note) {
				n++
			}
		}
		return n == 1, nil
	})
}
