package e2e

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/recorder"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The time at which a pod was told to stop is that of the first DELETE, whoever leads by the time
// of the last one, which moves the pod's deletion timestamp. Nothing but the watch tells it here:
// there is no webhook.
func TestWhenAPodWasToldToStop(t *testing.T) {
	t.Parallel()
	watching := func(k *config.Config) {
		quick(k)
		k.Webhook.Enabled, k.GC.Enabled = false, false
	}
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: watching}})
	second, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: watching})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Stop)
	ns, node := c.namespace(t), c.node(t).Name
	slow := func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(600)) }
	held := func(p *corev1.Pod) { p.Finalizers = []string{"example.com/held"} }
	for _, name := range []string{"leader", "standby", "restart"} {
		c.pod(t, ns, node, name, slow)
	}
	c.pod(t, ns, node, "held", slow, held)
	if err := c.StopKubelet(t.Context(), node); err != nil {
		t.Fatal(err)
	}

	first := c.tell(t, ns, "leader")
	c.endsAndIsRemoved(t, ns, node, "leader", first)
	c.recordsAsTold(t, ns, "leader", first)

	first = c.tell(t, ns, "standby")
	c.Epitaph.Kill()
	c.endsAndIsRemoved(t, ns, node, "standby", first)
	c.recordsAsTold(t, ns, "standby", first)

	first, heldFirst := c.tell(t, ns, "restart"), c.tell(t, ns, "held")
	c.recordedSince(t, ns) // so that the one that starts does not go back to before they were told
	second.Kill()
	c.endsAndIsRemoved(t, ns, node, "restart", first)
	c.endsAndIsRemoved(t, ns, node, "held", heldFirst)
	c.restart(t)
	c.recordsAsTold(t, ns, "restart", first)
	c.patchPod(t, ns, "held", `{"metadata":{"finalizers":null}}`)
	c.recordsAsTold(t, ns, "held", heldFirst)
}

// tell deletes a pod that goes on running, and returns when it was told.
func (c *cluster) tell(t *testing.T, ns, name string) time.Time {
	t.Helper()
	pods := c.as(t, runner).CoreV1().Pods(ns)
	if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p.DeletionTimestamp.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
}

// endsAndIsRemoved plays the pod's kubelet: its container ends with 0, and seconds later the pod is
// removed.
func (c *cluster) endsAndIsRemoved(t *testing.T, ns, node, name string, told time.Time) {
	t.Helper()
	ended := told.Add(time.Second)
	status, err := json.Marshal(
		map[string]any{"status": corev1.PodStatus{Phase: corev1.PodSucceeded,
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "main", Image: "registry.example/work:1",
				State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					Reason: "Completed", StartedAt: metav1.NewTime(told.Add(-time.Hour)),
					FinishedAt: metav1.NewTime(ended),
				}},
			}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CoreV1().Pods(ns).Patch(t.Context(), name, types.StrategicMergePatchType,
		status, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "seconds pass", func(context.Context) (bool,
		error) {
		return time.Now().After(ended.Add(2 * time.Second)), nil
	})
	kubelet := c.as(t, "system:node:"+node, "system:nodes").CoreV1().Pods(ns)
	if err := kubelet.Delete(t.Context(), name,
		metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
		t.Fatal(err)
	}
}

// recordsAsTold checks what is on record: that it was told to stop first, and did not end by
// itself.
func (c *cluster) recordsAsTold(t *testing.T, ns, name string, told time.Time) {
	t.Helper()
	o := c.recorded(t, ns, name)
	if o.Spec.Code != "Unexplained" {
		t.Errorf("pod %s is filed under %s, want Unexplained: it did not end by itself", name,
			o.Spec.Code)
	}
	if asked := o.Spec.DeletionRequested; asked == nil || !asked.Time.Equal(told) {
		t.Errorf("pod %s was told to stop at %s, want %s", name, asked, told)
	}
	want := v1alpha1.Verdict{Started: v1alpha1.StartedYes, MayStillRun: v1alpha1.No,
		Chargeable: v1alpha1.No, Retry: v1alpha1.RetryUnknown, Basis: story.ToldToStop}
	if o.Spec.Verdict == nil || *o.Spec.Verdict != want {
		t.Errorf("the verdict on pod %s is %+v, want %+v", name, o.Spec.Verdict, want)
	}
}

// recordedSince waits until the position of the record has passed this moment.
func (c *cluster) recordedSince(t *testing.T, ns string) {
	t.Helper()
	pods, err := c.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := podSpec(ns, "nowhere", unique("passed"))
	c.create(t, p)
	c.remove(t, c.as(t, runner), ns, p.Name)
	c.eventually(t, "the position passes", func(ctx context.Context) (bool, error) {
		m, err := c.client.CoreV1().ConfigMaps("epitaph-system").Get(ctx, recorder.PositionName,
			metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		order, err := resourceversion.CompareResourceVersion(m.Data["recordedUpTo"],
			pods.ResourceVersion)
		return order > 0, err
	})
}

func (c *cluster) patchPod(t *testing.T, ns, name, patch string) {
	t.Helper()
	if _, err := c.client.CoreV1().Pods(ns).Patch(t.Context(), name, types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}
