package e2e

import (
	"context"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Where the kinds of queues, operators and Karpenter are not installed, no object of theirs is
// read, listed or watched: not for a Job that is suspended, nor for what claims to belong to one of
// them.
func (c *cluster) absentKindsCostNothing(t *testing.T) {
	ns := c.namespace(t)
	job, err := c.client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "etl"}, Spec: batchv1.JobSpec{Template: queued()},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var pod string
	c.eventually(t, "the Job's pod runs", func(context.Context) (bool, error) {
		pods := c.podsIn(t, ns)
		if len(pods) == 1 && pods[0].Status.Phase == corev1.PodRunning {
			pod = pods[0].Name
		}
		return pod != "", nil
	})
	if _, err := c.as(t, runner).BatchV1().Jobs(ns).Patch(t.Context(), job.Name,
		types.MergePatchType, []byte(`{"spec":{"suspend":true}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Pod, ns+"/"+pod, reason.New(reason.Pod, reason.Suspended, "Job etl",
		kubeSystem+"job-controller"))

	node := c.node(t).Name
	claims := func(apiVersion, kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: "x", UID: "x",
			Controller: ptr.To(true)}}
	}
	c.pod(t, ns, node, "worker", func(p *corev1.Pod) {
		p.OwnerReferences = claims("ray.io/v1", "RayCluster")
	})
	c.remove(t, c.as(t, runner), ns, "worker")
	c.recorded(t, ns, "worker")
	c.patchNode(t, node, map[string]any{"metadata": map[string]any{
		"ownerReferences": claims("karpenter.sh/v1", "NodeClaim")}})
	if err := c.as(t, karpenterUser).CoreV1().Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Node, node, reason.New(reason.Node, reason.NodeScaledDown,
		"by "+karpenterUser, karpenterUser))

	groups := []string{"karpenter.sh"}
	for _, rule := range c.rules(t, theOwnersRole, "") {
		groups = append(groups, rule.APIGroups...)
	}
	for _, e := range c.answered(t, auditEvent.byEpitaph) {
		path, _, _ := strings.Cut(e.RequestURI, "?")
		for _, group := range groups {
			// What the API server serves is asked at /apis/GROUP/VERSION.
			if below, ok := strings.CutPrefix(path, "/apis/"+group+"/"); ok &&
				strings.Contains(below, "/") {
				t.Errorf("an object of a kind that is not there was asked for: %s %s", e.Verb, path)
			}
		}
		if e.Verb == "list" && strings.HasPrefix(path, "/api/v1/namespaces/default/events") {
			t.Errorf("Events were asked for: %s", path)
		}
	}
}
