package e2e

import (
	"context"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

const cleaner = "system:serviceaccount:ci:cleaner"

// nobodyKnows is the reason of a pod that a program deletes without saying why.
func nobodyKnows(by string) reason.Reason {
	return reason.New(reason.Pod, reason.Unexplained, by, by)
}

// markPreempted writes onto a pod what the scheduler writes onto its victims, as somebody.
func (c *cluster) markPreempted(t *testing.T, as, ns, name string) {
	t.Helper()
	condition := encode(t,
		map[string]any{"status": map[string]any{"conditions": []corev1.PodCondition{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: corev1.PodReasonPreemptionByScheduler, LastTransitionTime: metav1.Now(),
			Message: "default-scheduler: preempting to accommodate a higher priority pod",
		}}}})
	if _, err := c.as(t, as).CoreV1().Pods(ns).Patch(t.Context(), name,
		types.StrategicMergePatchType, condition, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

// The scheduler marks a victim, and a policy refuses its delete. The reason has been decided by
// then, since policies come last, and is written if the pod was to go at once. A program that
// deletes the pod a moment later does not do it for the scheduler's sake.
func TestReasonOfARefusedDeleteIsNotTheNextOnes(t *testing.T) {
	t.Parallel()
	t.Run("the pod would have gone on terminating", func(t *testing.T) {
		t.Parallel()
		refusedThenDeleted(t, metav1.DeleteOptions{}, false)
	})
	t.Run("the pod would have gone at once", func(t *testing.T) {
		t.Parallel()
		refusedThenDeleted(t, atOnce, true)
	})
}

func refusedThenDeleted(t *testing.T, refused metav1.DeleteOptions, written bool) {
	t.Helper()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.refuse(t, ns, admissionregistrationv1.Delete,
		"pods", "request.userInfo.username != '"+scheduler+"'")
	shared.pod(t, ns, node, "victim")
	shared.eventually(t, "the policy refuses the scheduler's deletes",
		func(ctx context.Context) (bool, error) {
			err := shared.as(t, scheduler).CoreV1().Pods(ns).Delete(ctx,
				"victim", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
			return apierrors.IsInvalid(err) || apierrors.IsForbidden(err), nil
		})
	shared.markPreempted(t, scheduler, ns, "victim")
	if err := shared.as(t, scheduler).CoreV1().Pods(ns).Delete(t.Context(),
		"victim", refused); err == nil {
		t.Fatal("the policy let the scheduler's delete pass")
	}
	lives, err := shared.client.CoreV1().Pods(ns).Get(t.Context(), "victim", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	own, err := keys.Pod.Read(lives.Annotations)
	if ours := err == nil && own.Code == reason.Preempted && own.By == scheduler; ours != written {
		t.Errorf("the victim carries %+v, %v; want what was decided about the scheduler's delete: %t",
			own, err, written)
	}
	if err := shared.as(t, cleaner).CoreV1().Pods(ns).Delete(t.Context(),
		"victim", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/victim", nobodyKnows(cleaner))
}

// A condition counts only for the component that writes it: who marks a pod as preempted and
// deletes it is not the scheduler, and neither is whoever deletes what the scheduler has marked.
func TestPreemptionIsTheSchedulersAlone(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	for name, writer := range map[string]string{"marked-by-the-scheduler": scheduler,
		"marked-by-its-deleter": cleaner} {
		shared.pod(t, ns, node, name)
		shared.markPreempted(t, writer, ns, name)
		if err := shared.as(t, cleaner).CoreV1().Pods(ns).Delete(t.Context(), name,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+name, nobodyKnows(cleaner))
	}
}

// Whom the scheduler has marked a moment ago, and somebody else deletes, went for nobody's sake:
// least of all for that of a pod which waits in another namespace, for another node. A service
// account that bears the scheduler's name is taken for the scheduler, but that pod was not the
// preemptor all the same.
func TestPreemptionNamesNobodyWhoWaitsElsewhere(t *testing.T) {
	t.Parallel()
	const namesake = "system:serviceaccount:ci:" + corev1.DefaultSchedulerName
	ns, other, node := shared.namespace(t), shared.namespace(t), shared.node(t).Name
	low, high := shared.priorityClass(t, 10), shared.priorityClass(t, 1000)
	shared.create(t, podSpec(other, "no-such-node", "unrelated", asking(high, "1")))
	shared.podLike(t, other, "unrelated", "waits",
		func(p *corev1.Pod) bool { return len(p.Status.Conditions) > 0 })
	unnamed := preemptedBy("its id is not known")
	unnamed.By = namesake
	for name, tt := range map[string]struct {
		deleter string
		want    reason.Reason
	}{
		"by-a-program":  {cleaner, nobodyKnows(cleaner)},
		"by-a-namesake": {namesake, unnamed},
	} {
		shared.pod(t, ns, node, name, asking(low, "1"))
		shared.markPreempted(t, scheduler, ns, name)
		if err := shared.as(t, tt.deleter).CoreV1().Pods(ns).Delete(t.Context(), name,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+name, tt.want)
	}
}

// A NoExecute taint drives the pod of a DaemonSet off: its controller and the taint manager both
// delete it. Here we are the controller, and the taint manager has no part in it.
func TestDaemonSetPodIsDrivenOffByATaint(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	const controller = "system:serviceaccount:kube-system:daemon-set-controller"
	taints := encode(t, map[string]any{"spec": map[string]any{"taints": []corev1.Taint{
		{Key: "example.com/other", Effect: corev1.TaintEffectNoExecute},
		{Key: "example.com/rack-move", Effect: corev1.TaintEffectNoExecute},
	}}})
	if _, err := shared.client.CoreV1().Nodes().Patch(t.Context(), node,
		types.StrategicMergePatchType, taints, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.daemonSet(t, ns, node, func(set *appsv1.DaemonSet) {
		set.Spec.Template.Spec.Tolerations = []corev1.Toleration{
			{Key: "example.com/other", Operator: corev1.TolerationOpExists},
			// The taint manager waits for so long, and the real controller as long as the taint is
			// tolerated.
			{
				Key: "example.com/rack-move", Operator: corev1.TolerationOpExists,
				Effect:            corev1.TaintEffectNoExecute,
				TolerationSeconds: ptr.To(int64(3600)),
			},
		}
	})
	pod := shared.theRunningPod(t, ns)
	if err := shared.as(t, controller).CoreV1().Pods(ns).Delete(t.Context(), pod.Name,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+pod.Name, reason.Reason{
		Code: reason.Evicted, By: controller,
		Text: reason.Text("This pod was evicted (node " + node +
			" is tainted example.com/rack-move)"),
	})
}

// What had ended is tidied up by anybody, without a reason of their own.
func TestFinishedPodIsTidiedUpByAnybody(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	for name, who := range map[string]string{"by-a-person": "alice", "by-a-program": cleaner} {
		shared.pod(t, ns, node, name)
		over := encode(t, map[string]any{"status": map[string]any{"phase": corev1.PodSucceeded}})
		if _, err := shared.client.CoreV1().Pods(ns).Patch(t.Context(), name, types.MergePatchType,
			over, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		if err := shared.as(t, who).CoreV1().Pods(ns).Delete(t.Context(), name,
			metav1.DeleteOptions{}); err != nil {
			t.Fatalf("%s is refused: %v", name, err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+name,
			reason.New(reason.Pod, reason.AlreadyEnded, "Succeeded, removed by "+who, who))
	}
}

// A cloud's own user is no person: what it forces off a node that it drains is never refused.
func TestCloudsOwnUserIsNeverDenied(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	for name, who := range map[string]string{"of-eks": "eks:node-manager", "of-aks": "aksService"} {
		shared.pod(t, ns, node, name)
		if err := shared.as(t, who).CoreV1().Pods(ns).Delete(t.Context(), name,
			metav1.DeleteOptions{}); err != nil {
			t.Fatalf("%s is refused: %v", who, err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+name, nobodyKnows(who))
	}
}
