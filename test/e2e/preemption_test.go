package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// Preemption is asynchronous: while the scheduler deletes the victims of one pod it goes on to the
// next, and writes down who is nominated to which node beside it. A pod that waits for something
// else must not be taken for the preemptor.
func TestPreemptionsAtTheSameTime(t *testing.T) {
	t.Parallel()
	ns := shared.namespace(t)
	low, high := shared.priorityClass(t, 10), shared.priorityClass(t, 1000)
	shared.create(t, podSpec(ns, "no-such-node", "waits-for-ever", asking(high, "1")))
	const nodes, each = 3, 4
	preemptors := map[string]string{}
	var important []*corev1.Pod
	for n := range nodes {
		node := shared.node(t).Name
		important = append(important, podSpec(ns, node, fmt.Sprintf("important-%d", n),
			asking(high, "4")))
		for v := range each {
			victim := fmt.Sprintf("victim-%d-%d", n, v)
			shared.pod(t, ns, node, victim, asking(low, "1"))
			preemptors[victim] = important[n].Name
		}
	}
	for _, p := range important {
		shared.create(t, p)
	}
	for victim, preemptor := range preemptors {
		shared.leaves(t, reason.Pod, ns+"/"+victim, preemptedBy(ns+"/"+preemptor))
	}
	for _, p := range important {
		shared.podLike(t, ns, p.Name, "runs",
			func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	}
}

func preemptedBy(id string) reason.Reason {
	return reason.Reason{Code: reason.Preempted, By: scheduler,
		Text: reason.Text("This pod was preempted by a higher priority job (" + id + ")")}
}

// Whom a victim goes for is written down beside its deletion: here we are the scheduler, and write
// it down late. The only pod that can be meant is named at once; of two, the one that is nominated
// before the victim has ended.
func TestPreemptorThatIsNominatedLate(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	low, high := shared.priorityClass(t, 10), shared.priorityClass(t, 1000)
	for name, change := range map[string]func(*corev1.Pod){"of-one": brief, "of-two": brief,
		"of-two-slowly": slowly, "of-the-nominated": brief} {
		shared.pod(t, ns, node, name, asking(low, "1"), change)
	}
	shared.create(t, podSpec(ns, node, "first", asking(high, "1"), waits))
	shared.deleteAsScheduler(t, ns, "of-one")
	shared.leaves(t, reason.Pod, ns+"/of-one", preemptedBy(ns+"/first"))

	shared.create(t, podSpec(ns, node, "second", asking(high, "1"), waits))
	shared.deleteAsScheduler(t, ns, "of-two")
	shared.leaves(t, reason.Pod, ns+"/of-two", preemptedBy("its id is not known"))

	shared.deleteAsScheduler(t, ns, "of-two-slowly")
	early := shared.podLike(t, ns, "of-two-slowly", "has a reason", func(p *corev1.Pod) bool {
		return keys.Pod.Has(p.Annotations)
	})
	wantReason(t, early, preemptedBy("its id is not known"))
	shared.nominate(t, ns, "second", node)
	shared.leaves(t, reason.Pod, ns+"/of-two-slowly", preemptedBy(ns+"/second"))
	if n := shared.asked(t, "patch", "/api/v1/namespaces/"+ns+
		"/pods/of-two-slowly/status"); n != 2 {
		t.Errorf("the victim was written to %d times, want 2", n)
	}

	shared.deleteAsScheduler(t, ns, "of-the-nominated")
	shared.leaves(t, reason.Pod, ns+"/of-the-nominated", preemptedBy(ns+"/second"))
}

func brief(*corev1.Pod) {}

// ourScheduler is the one that we play: the real one leaves its pods alone.
const ourScheduler = "nobody"

func waits(p *corev1.Pod) { p.Spec.SchedulerName = ourScheduler }

// Who waits for something that the victim's node has not was not its preemptor, whatever their
// priority: the pod of another scheduler, one that is pinned elsewhere, that demands what the node
// is not, that a taint keeps off.
func TestPreemptorCanRunOnTheNode(t *testing.T) {
	t.Parallel()
	ns, other, node := shared.namespace(t), shared.namespace(t), shared.node(t).Name
	low, high := shared.priorityClass(t, 10), shared.priorityClass(t, 1000)
	shared.patchNode(t, node,
		map[string]any{"metadata": map[string]any{
			"labels": map[string]string{"example.com/pool": "gpu"}}})
	for _, name := range []string{"of-nobody", "of-the-one-that-fits"} {
		shared.pod(t, ns, node, name, asking(low, "1"))
	}
	notInThePool := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{
					{MatchExpressions: []corev1.NodeSelectorRequirement{
						{Key: "example.com/pool", Operator: corev1.NodeSelectorOpNotIn,
							Values: []string{"gpu"}},
					}}},
			}}}
	}
	shared.create(t, podSpec(other, "no-such-node", "pinned-elsewhere", asking(high, "1"), waits))
	shared.create(t, podSpec(other, node, "of-another-pool", asking(high, "1"), waits,
		notInThePool))
	shared.create(t, podSpec(other, node, "of-another-scheduler", asking(high, "1"),
		func(p *corev1.Pod) { p.Spec.SchedulerName = "somebody-else" }))
	intolerant := podSpec(other, node, "intolerant", asking(high, "1"), waits)
	tolerant := podSpec(ns, node, "tolerant", asking(high, "1"), waits, func(p *corev1.Pod) {
		p.Spec.Tolerations = []corev1.Toleration{
			{Key: "example.com/reserved", Operator: corev1.TolerationOpExists}}
	})
	shared.patchNode(t, node,
		map[string]any{"spec": map[string]any{
			"taints": []corev1.Taint{{Key: "example.com/reserved",
				Effect: corev1.TaintEffectNoSchedule}}}})
	shared.create(t, intolerant)
	shared.deleteAsScheduler(t, ns, "of-nobody")
	shared.leaves(t, reason.Pod, ns+"/of-nobody", preemptedBy("its id is not known"))
	shared.create(t, tolerant)
	shared.deleteAsScheduler(t, ns, "of-the-one-that-fits")
	shared.leaves(t, reason.Pod, ns+"/of-the-one-that-fits", preemptedBy(ns+"/tolerant"))
}

// A name that only follows from who waits is corrected when another pod is nominated, or when the
// one that it names goes elsewhere: on the pod while it terminates, on its record after that, and
// whoever leads by then.
func TestSupposedPreemptorIsCorrected(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: quick}})
	second, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: quick})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Stop)
	low, high := c.priorityClass(t, 10), c.priorityClass(t, 1000)
	graceful := func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(600)) }
	atOnce := func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(0)) }
	// supposed has a victim deleted when one pod waits that fits, and a second one, which does not,
	// so that it is supposed to be the first.
	supposed := func(t *testing.T, victim string, grace func(*corev1.Pod)) (ns, node string) {
		t.Helper()
		ns, node = c.namespace(t), c.node(t).Name
		c.pod(t, ns, node, victim, asking(low, "1"), grace)
		if err := c.StopKubelet(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		c.create(t, podSpec(ns, node, "first", asking(high, "1"), waits))
		c.create(t, podSpec(ns, "no-such-node", "second", asking(high, "1"), waits))
		c.deleteAsScheduler(t, ns, victim)
		return ns, node
	}
	says := func(t *testing.T, ns, victim, id string) {
		t.Helper()
		wantReason(t, c.podLike(t, ns, victim, "says "+id, func(p *corev1.Pod) bool {
			own, err := keys.Pod.Read(p.Annotations)
			return err == nil && own == preemptedBy(id)
		}), preemptedBy(id))
	}
	isOnRecord := func(t *testing.T, ns, victim, id string) {
		t.Helper()
		c.eventually(t, "the record says "+id, func(context.Context) (bool, error) {
			o := c.recorded(t, ns, victim)
			return o.Spec.Reason == string(preemptedBy(id).Text), nil
		})
	}
	t.Run("another is nominated", func(t *testing.T) {
		ns, node := supposed(t, "a", graceful)
		says(t, ns, "a", ns+"/first")
		c.nominate(t, ns, "second", node)
		says(t, ns, "a", ns+"/second")
	})
	t.Run("it is nominated elsewhere", func(t *testing.T) {
		ns, _ := supposed(t, "a", graceful)
		says(t, ns, "a", ns+"/first")
		c.nominate(t, ns, "first", c.node(t).Name)
		says(t, ns, "a", "its id is not known")
	})
	t.Run("it is bound elsewhere after it was nominated", func(t *testing.T) {
		ns, node := supposed(t, "a", graceful)
		says(t, ns, "a", ns+"/first")
		c.nominate(t, ns, "first", node)
		c.podLike(t, ns, "a", "has a name that is certain", func(p *corev1.Pod) bool {
			w, ok := reason.ReadWritten(p.Annotations)
			return ok && !w.Supposed
		})
		c.bind(t, ns, "first", c.node(t).Name)
		c.nominate(t, ns, "second", node)
		// Another victim gets its name after that, so the first one's was looked at.
		elsewhere := c.node(t).Name
		c.pod(t, ns, elsewhere, "b", asking(low, "1"), graceful)
		if err := c.StopKubelet(t.Context(), elsewhere); err != nil {
			t.Fatal(err)
		}
		c.deleteAsScheduler(t, ns, "b")
		says(t, ns, "b", "its id is not known")
		c.nominate(t, ns, "second", elsewhere)
		says(t, ns, "b", ns+"/second")
		says(t, ns, "a", ns+"/first")
	})
	t.Run("the victim is gone", func(t *testing.T) {
		ns, node := supposed(t, "a", atOnce)
		isOnRecord(t, ns, "a", ns+"/first")
		c.nominate(t, ns, "second", node)
		isOnRecord(t, ns, "a", ns+"/second")
		if o := c.recorded(t, ns, "a"); o.Spec.Amended == nil {
			t.Error("the record does not say that it was amended")
		}
	})
	t.Run("its annotations are full", func(t *testing.T) {
		ns, node := supposed(t, "a", func(p *corev1.Pod) { graceful(p); full(p) })
		holds := func(id string) {
			t.Helper()
			c.podLike(t, ns, "a", "holds "+id, func(p *corev1.Pod) bool {
				held, ok := reason.HeldOn(p)
				return ok && held.Text == preemptedBy(id).Text
			})
		}
		holds(ns + "/first")
		c.nominate(t, ns, "second", node)
		holds(ns + "/second")
	})
	t.Run("over a failover", func(t *testing.T) {
		ns, node := supposed(t, "a", graceful)
		says(t, ns, "a", ns+"/first")
		// The record of one that was gone before says that it may still be corrected.
		ofGone, elsewhere := supposed(t, "b", atOnce)
		isOnRecord(t, ofGone, "b", ofGone+"/first")
		c.Epitaph.Kill()
		c.nominate(t, ns, "second", node)
		c.nominate(t, ofGone, "second", elsewhere)
		says(t, ns, "a", ns+"/second")
		isOnRecord(t, ofGone, "b", ofGone+"/second")
		if o := c.recorded(t, ofGone, "b"); o.Spec.Amended == nil || o.Spec.Preemption != nil {
			t.Errorf(
				"the record says %+v of its correction, and %+v of what may still be, want the first alone", o.Spec.Amended, o.Spec.Preemption)
		}
	})
}

// bind runs a pod on a node, as its scheduler does.
func (c *cluster) bind(t *testing.T, ns, name, node string) {
	t.Helper()
	err := c.client.CoreV1().Pods(ns).Bind(t.Context(), &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// The scheduler's delete is refused, and the preemptor goes away; a program that deletes the victim
// after that does not do it for the preemptor's sake, nor for that of another pod that waits.
func TestPreemptionThatDidNotComeAbout(t *testing.T) {
	t.Parallel()
	ns, other, node := shared.namespace(t), shared.namespace(t), shared.node(t).Name
	low, high := shared.priorityClass(t, 10), shared.priorityClass(t, 1000)
	shared.refuse(t, ns, admissionregistrationv1.Delete,
		"pods", "request.userInfo.username != '"+scheduler+"'")
	shared.pod(t, ns, node, "victim", asking(low, "4"))
	shared.eventually(t, "the policy is in force", func(ctx context.Context) (bool, error) {
		err := shared.as(t, scheduler).CoreV1().Pods(ns).Delete(ctx,
			"victim", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "failed expression"), nil
	})
	shared.create(t, podSpec(other, "no-such-node", "unrelated", asking(high, "1")))
	shared.create(t, podSpec(ns, node, "important", asking(high, "4")))
	marked := shared.podLike(t, ns, "victim", "is marked", func(p *corev1.Pod) bool {
		return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.DisruptionTarget &&
				c.Reason == corev1.PodReasonPreemptionByScheduler
		})
	})
	if keys.Pod.Has(marked.Annotations) {
		t.Errorf("a delete that was refused left %v", marked.Annotations)
	}
	shared.remove(t, shared.as(t, cleaner), ns, "important")
	untilWatched()
	if err := shared.as(t, cleaner).CoreV1().Pods(ns).Delete(t.Context(),
		"victim", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/victim", nobodyKnows(cleaner))
}

// nominate writes down that a pod is to run on a node, as the scheduler does for a preemptor.
func (c *cluster) nominate(t *testing.T, ns, name, node string) {
	t.Helper()
	patch := encode(t, map[string]any{"status": map[string]any{"nominatedNodeName": node}})
	if _, err := c.client.CoreV1().Pods(ns).Patch(t.Context(), name, types.MergePatchType, patch,
		metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

// untilWatched gives Epitaph the time to learn which pods wait, and which do not any more: it is told
// by its watch, as the scheduler is, and nothing tells when.
func untilWatched() { time.Sleep(time.Second) }

// deleteAsScheduler does to a pod what the scheduler does to its victims.
func (c *cluster) deleteAsScheduler(t *testing.T, ns, name string) {
	t.Helper()
	untilWatched()
	pods := c.as(t, scheduler).CoreV1().Pods(ns)
	condition := encode(t,
		map[string]any{"status": map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: corev1.PodReasonPreemptionByScheduler, LastTransitionTime: metav1.Now(),
			Message: ourScheduler + ": preempting to accommodate a higher priority pod",
		}}}})
	if _, err := pods.Patch(t.Context(), name, types.StrategicMergePatchType, condition,
		metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}
