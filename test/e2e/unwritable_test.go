package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// maxAnnotations is what all annotations of an object may have together (k8s.io/apimachinery
// pkg/api/validation, TotalAnnotationSizeLimitB).
const maxAnnotations = 256 << 10

// filler is the annotation that takes all the room there is.
const filler = "example.com/all-there-is"

// full leaves no room for a reason.
func full(p *corev1.Pod) {
	p.Annotations = map[string]string{filler: strings.Repeat("x", maxAnnotations-len(filler))}
}

// many has more annotations than the manager's policy compares.
func many(p *corev1.Pod) {
	p.Annotations = map[string]string{}
	for n := range 1100 {
		p.Annotations[fmt.Sprintf("example.com/%d", n)] = ""
	}
}

// goes waits until a pod is gone whatever it carries.
func (c *cluster) goes(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	return c.leaves(t, reason.Pod, namespace+"/"+name, reason.Reason{}).Pod
}

// refuseOurStatus has a policy refuse every write of ours to the status of a namespace's pods, and
// waits until it does.
func (c *cluster) refuseOurStatus(t *testing.T, ns string) {
	t.Helper()
	c.refuse(t, ns, admissionregistrationv1.Update,
		"pods/status", "!request.userInfo.username.endsWith(':epitaph-manager')")
	c.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
		err := c.patchAsEpitaph(ctx, t, ns)
		return err != nil && strings.Contains(err.Error(), "failed expression"), nil
	})
}

// wantRecord checks what is on record of a pod whose reason could not be written on it.
func (c *cluster) wantRecord(t *testing.T, namespace, pod string, want reason.Reason) {
	t.Helper()
	o := c.recorded(t, namespace, pod)
	got := reason.Reason{Code: reason.Code(o.Spec.Code), Text: reason.Text(o.Spec.Reason),
		By: o.Spec.By}
	if got != want {
		t.Errorf("pod %s is on record with\n  %+v, want\n  %+v", pod, got, want)
	}
}

// toldOf waits for the Event about a pod whose reason could not be written on it.
func (c *cluster) toldOf(t *testing.T, namespace, pod, text string) {
	t.Helper()
	c.eventually(t, "an Event says why pod "+pod+" goes", func(ctx context.Context) (bool, error) {
		all, err := c.client.EventsV1().Events(namespace).List(ctx,
			metav1.ListOptions{FieldSelector: "reason=" + audit.EventReasonRefused})
		return err == nil && slices.ContainsFunc(all.Items, func(e eventsv1.Event) bool {
			return e.Regarding.Name == pod && strings.Contains(e.Note, text)
		}), err
	})
}

// holdsItsReason waits until the reason of a pod stands in its condition, its annotations being
// full, and the pod is failed.
func (c *cluster) holdsItsReason(t *testing.T, ns, name string, want reason.Reason) {
	t.Helper()
	c.podLike(t, ns, name, "is failed, and holds its reason", func(p *corev1.Pod) bool {
		held, ok := reason.HeldOn(p)
		return ok && held == want && p.Status.Phase == corev1.PodFailed
	})
}

// A pod's owner can fill its annotations, and policies can refuse what they like: neither keeps a
// pod of a node that is gone, nor those beside it, and the record has the reason all the same.
func TestOrphansOnWhichNothingCanBeWrittenGo(t *testing.T) {
	t.Parallel()
	t.Run("the annotations are full", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		shared.pod(t, ns, node, "full", full)
		shared.pod(t, ns, node, "beside")
		shared.annotateNode(t, node, diskOfNode)
		shared.deleteNode(t, node)
		shared.leaves(t, reason.Pod, ns+"/beside", diskOfPod)
		wantFailedWith(t, shared.goes(t, ns, "full"), true)
		shared.wantRecord(t, ns, "full", diskOfPod)
		shared.toldOf(t, ns, "full", string(diskOfPod.Text))
	})
	t.Run("a policy refuses every write", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		shared.pod(t, ns, node, "a")
		shared.refuseOurStatus(t, ns)
		shared.annotateNode(t, node, diskOfNode)
		shared.deleteNode(t, node)
		shared.goes(t, ns, "a")
		shared.wantRecord(t, ns, "a", diskOfPod)
		shared.toldOf(t, ns, "a", string(diskOfPod.Text))
	})
}

// Nor does it keep a pod that is deleted or evicted, and what the webhook found out is on record.
// Whoever deletes is warned if the reason was to be written before the answer.
func TestDeletesOfPodsOnWhichNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pod    func(*corev1.Pod)
		policy bool
	}{
		"the annotations are full":      {pod: full},
		"there are too many to compare": {pod: many},
		"a policy refuses every write":  {pod: func(*corev1.Pod) {}, policy: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns, node := shared.namespace(t), shared.node(t).Name
			shared.pod(t, ns, node, "deleted", tt.pod)
			shared.pod(t, ns, node, "at-once", tt.pod)
			shared.pod(t, ns, node, "evicted", tt.pod)
			shared.pod(t, ns, node, "a")
			if tt.policy {
				shared.refuseOurStatus(t, ns)
			}
			deleter, warned := shared.warned(t, "system:kube-scheduler")
			shared.remove(t, deleter, ns, "deleted")
			if err := deleter.CoreV1().Pods(ns).Delete(t.Context(), "at-once",
				atOnce); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(warned.String(), "epitaph: the reason could not be written: ") {
				t.Errorf("warned %q, want that the reason could not be written", warned)
			}
			if err := evict(t, shared.as(t, runner), ns, "evicted", graceless); err != nil {
				t.Fatal(err)
			}
			shared.wantRecord(t, ns, "deleted", preemptedBy("its id is not known"))
			shared.wantRecord(t, ns, "at-once", preemptedBy("its id is not known"))
			shared.wantRecord(t, ns, "evicted",
				reason.New(reason.Pod, reason.Evicted, "by "+runner, runner))
			shared.toldOf(t, ns, "deleted", "preempted")
		})
	}
}

// What a condition holds for a deletion that did not come about is taken off, as what annotations
// hold.
func TestHeldReasonOfAPodThatLivesOnIsTakenOff(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a", full)
	shared.refuse(t, ns, admissionregistrationv1.Delete,
		"pods", "request.userInfo.username != 'system:kube-scheduler'")
	deleter := shared.as(t, "system:kube-scheduler")
	held := func(ctx context.Context) (bool, error) {
		pod, err := shared.client.CoreV1().Pods(ns).Get(ctx, "a", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		_, is := reason.HeldOn(pod)
		return is, nil
	}
	shared.eventually(t, "the delete is refused", func(ctx context.Context) (bool, error) {
		err := deleter.CoreV1().Pods(ns).Delete(ctx,
			"a", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "failed expression"), nil
	})
	if err := deleter.CoreV1().Pods(ns).Delete(t.Context(), "a", atOnce); err == nil {
		t.Fatal("the delete went through: this tests nothing")
	}
	if is, err := held(t.Context()); err != nil || !is {
		t.Fatalf("the pod holds a reason: %t (%v), want it held", is, err)
	}
	shared.eventuallyWithin(t, leftoverPatience,
		"the reason is taken off", func(ctx context.Context) (bool, error) {
			is, err := held(ctx)
			return !is, err
		})
}

// A node whose kernel panicked is removed although nothing can be written on one of its pods, or on
// itself.
func TestRemovalOfWhatCannotBeWritten(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{
			Configure: func(k *config.Config) { listening(k) }}})
	for name, spoil := range map[string]func(*testing.T, string){
		"a pod": func(*testing.T, string) {},
		"the Node too": func(t *testing.T, node string) {
			const slack = 100 // less than any reason needs
			room := maxAnnotations - slack - len(filler)
			for key, value := range c.aliveNode(t, node).Annotations {
				room -= len(key) + len(value)
			}
			c.patchNode(t, node,
				map[string]any{"metadata": map[string]any{
					"annotations": map[string]string{filler: strings.Repeat("x", room)}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ns, node := c.namespace(t), c.answering(t)
			born := c.pod(t, ns, node.Name, "full", full).CreationTimestamp.Time
			c.pod(t, ns, node.Name, "beside")
			spoil(t, node.Name)
			c.dies(t, node.Name)
			c.says(t, node.Address, aSignedPanic("nothing to write on"))
			wantPod, wantNode := panicked("nothing to write on")
			c.leaves(t, reason.Pod, ns+"/beside", wantPod)
			wantFailedWith(t, c.goes(t, ns, "full"), true)
			c.leaves(t, reason.Node, node.Name, reason.Reason{})
			c.wantRecord(t, ns, "full", wantPod)
			c.finds(t, c.memory(t), node.Name, born, wantNode.Code)
		})
	}
}
