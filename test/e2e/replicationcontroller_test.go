package e2e

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// scaledToNone makes a ReplicationController with a pod, scales it down, and returns the pod.
func (c *cluster) scaledToNone(t *testing.T) (pod string) {
	t.Helper()
	ns, node := c.namespace(t), c.node(t).Name
	labels := map[string]string{"app": "old"}
	controllers := c.client.CoreV1().ReplicationControllers(ns)
	_, err := controllers.Create(t.Context(), &corev1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Name: "old"},
		Spec: corev1.ReplicationControllerSpec{
			Replicas: ptr.To(int32(1)), Selector: labels,
			Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: podSpec(ns, node, "").Spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod = c.runningPodOf(t, ns, "app=old")
	if _, err := c.as(t, runner).CoreV1().ReplicationControllers(ns).Patch(t.Context(), "old",
		types.MergePatchType, []byte(`{"spec": {"replicas": 0}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	return ns + "/" + pod
}

func TestReplicationControllerScalesDown(t *testing.T) {
	t.Parallel()
	pod := shared.scaledToNone(t)
	shared.leaves(t, reason.Pod, pod, reason.New(reason.Pod, reason.ScaledDown,
		"ReplicationController old", kubeSystem+"replication-controller"))
}

func theReplicationControllerIsNotRead(t *testing.T, c *cluster) {
	pod := c.scaledToNone(t)
	c.leaves(t, reason.Pod, pod, reason.New(reason.Pod, reason.RemovedByOwner,
		"ReplicationController old", kubeSystem+"replication-controller"))
}
