//go:build linux

package realnode_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

const alice = "alice"

// A pod is deleted by a person who says why, its container is stopped, and its kubelet takes it out of the API with that reason.
func TestDeletedPodLeavesWithItsReason(t *testing.T) {
	t.Parallel()
	c := shared
	c.runs(t, worker("deleted", "-say=hello", "-term-exit=0"))
	log, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).GetLogs("deleted", &corev1.PodLogOptions{}).DoRaw(t.Context())
	must(t, err)
	if string(log) != "hello\n" {
		t.Errorf("the container logged %q", log)
	}
	c.saysWhy(t, "deleted", "the experiment is over")
	must(t, c.as(t, alice).CoreV1().Pods(metav1.NamespaceDefault).Delete(t.Context(), "deleted", metav1.DeleteOptions{}))
	d := c.leaves(t, "deleted")
	if want := (reason.Reason{Code: reason.UserRequest, Text: "the experiment is over", By: alice}); d.Reason != want {
		t.Errorf("it left with\n  %+v, want\n  %+v", d.Reason, want)
	}
	if s := d.Pod.Status.ContainerStatuses[0].State.Terminated; s == nil || s.ExitCode != 0 {
		t.Errorf("its container is %+v, want it ended with 0", d.Pod.Status.ContainerStatuses[0].State)
	}
}
