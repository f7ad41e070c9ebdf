package e2e

import (
	"context"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

const kubeSystem = "system:serviceaccount:kube-system:"

var web = map[string]string{"app": "web"}

// template is a pod template on one node.
func template(ns, node string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: web},
		Spec: podSpec(ns, node, "").Spec}
}

// The pods of a ReplicaSet that a Deployment has adopted do not bear the hash of their template;
// they are replaced all the same.
func TestDeploymentReplacesAnAdoptedReplicaSet(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	of := metav1.ObjectMeta{Name: "adopted", Labels: web}
	set := &appsv1.ReplicaSet{ObjectMeta: of, Spec: appsv1.ReplicaSetSpec{
		Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: web},
		Template: template(ns, node),
	}}
	if _, err := shared.client.AppsV1().ReplicaSets(ns).Create(t.Context(), set,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	old := shared.theRunningPod(t, ns)
	newer := template(ns, node)
	newer.Spec.Containers[0].Image = "registry.example/work:2"
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: web},
		Template: newer,
	}}
	if _, err := shared.client.AppsV1().Deployments(ns).Create(t.Context(), d,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+old.Name,
		reason.New(reason.Pod, reason.RolloutReplaced,
			"ReplicaSet adopted", kubeSystem+"replicaset-controller"))
}

// theRunningPod waits until exactly one pod of the namespace runs, and returns it.
func (c *cluster) theRunningPod(t *testing.T, ns string) (pod corev1.Pod) {
	t.Helper()
	c.eventually(t, "one pod runs", func(ctx context.Context) (bool, error) {
		pods := c.podsIn(t, ns)
		if len(pods) != 1 || pods[0].Status.Phase != corev1.PodRunning ||
			pods[0].DeletionTimestamp != nil {
			return false, nil
		}
		pod = pods[0]
		return true, nil
	})
	return pod
}

const anotherImage = `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"registry.example/work:2"}]}}}}`

func TestDeploymentRollsOut(t *testing.T) {
	t.Parallel()
	for _, strategy := range []appsv1.DeploymentStrategyType{
		appsv1.RollingUpdateDeploymentStrategyType, appsv1.RecreateDeploymentStrategyType} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			deploymentRollsOut(t, strategy)
		})
	}
}

func deploymentRollsOut(t *testing.T, strategy appsv1.DeploymentStrategyType) {
	t.Helper()
	ns, node := shared.namespace(t), shared.node(t).Name
	deployments := shared.client.AppsV1().Deployments(ns)
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: web},
		Template: template(ns, node),
		Strategy: appsv1.DeploymentStrategy{Type: strategy},
	}}
	if _, err := deployments.Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	old := shared.theRunningPod(t, ns)
	if _, err := deployments.Patch(t.Context(), "web", types.StrategicMergePatchType,
		[]byte(anotherImage), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+old.Name, reason.Reason{
		Code: reason.RolloutReplaced, By: kubeSystem + "replicaset-controller",
		Text: reason.Text("This pod was replaced by a newer version of itself (ReplicaSet " +
			old.OwnerReferences[0].Name + ")"),
	})
	young := shared.theRunningPod(t, ns)
	if _, err := shared.as(t, runner).AppsV1().Deployments(ns).Patch(t.Context(), "web",
		types.MergePatchType, []byte(`{"spec":{"replicas":0}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+young.Name, reason.Reason{
		Code: reason.ScaledDown, By: kubeSystem + "replicaset-controller",
		Text: reason.Text("This pod was removed because its owner needs fewer pods (ReplicaSet " +
			young.OwnerReferences[0].Name + ")"),
	})
}

func TestStatefulSetRollsOutAndScalesDown(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	sets := shared.client.AppsV1().StatefulSets(ns)
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: web},
			Template: template(ns, node),
		}}
	if _, err := sets.Create(t.Context(), set, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	old := shared.theRunningPod(t, ns)
	if _, err := sets.Patch(t.Context(), "db", types.StrategicMergePatchType, []byte(anotherImage),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/db-0", reason.Reason{
		Code: reason.RolloutReplaced, By: kubeSystem + "statefulset-controller",
		Text: "This pod was replaced by a newer version of itself (StatefulSet db)",
	})
	shared.eventually(t, "the new pod runs", func(ctx context.Context) (bool, error) {
		p, err := shared.client.CoreV1().Pods(ns).Get(ctx, "db-0", metav1.GetOptions{})
		return err == nil && p.UID != old.UID &&
			p.Status.Phase == corev1.PodRunning, client.IgnoreNotFound(err)
	})
	if _, err := shared.as(t, runner).AppsV1().StatefulSets(ns).Patch(t.Context(), "db",
		types.MergePatchType, []byte(`{"spec":{"replicas":0}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.eventually(t, "the new pod is seen to leave", func(context.Context) (bool, error) {
		d, ok := shared.witness.Saw(reason.Pod, ns+"/db-0")
		return ok && d.Pod.UID != old.UID, nil
	})
	shared.leaves(t, reason.Pod, ns+"/db-0", reason.Reason{
		Code: reason.ScaledDown, By: kubeSystem + "statefulset-controller",
		Text: "This pod was removed because its owner needs fewer pods (StatefulSet db)",
	})
}

func TestDaemonSetRollsOut(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	sets := shared.client.AppsV1().DaemonSets(ns)
	set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: web}, Template: template(ns, node),
		}}
	if _, err := sets.Create(t.Context(), set, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	old := shared.theRunningPod(t, ns)
	if _, err := sets.Patch(t.Context(), "agent", types.StrategicMergePatchType,
		[]byte(anotherImage), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+old.Name, reason.Reason{
		Code: reason.RolloutReplaced, By: kubeSystem + "daemon-set-controller",
		Text: "This pod was replaced by a newer version of itself (DaemonSet agent)",
	})
}

// job creates a Job with one pod that ends when it is told to.
func (c *cluster) job(t *testing.T, ns, node string, change ...func(*batchv1.Job)) corev1.Pod {
	t.Helper()
	spec := template(ns, node)
	spec.Spec.RestartPolicy = corev1.RestartPolicyNever
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec: batchv1.JobSpec{Template: spec}}
	for _, f := range change {
		f(job)
	}
	if _, err := c.client.BatchV1().Jobs(ns).Create(t.Context(), job,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return c.theRunningPod(t, ns)
}

func TestJobIsRemovedAfterItsTime(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pod := shared.job(t, ns, node,
		func(j *batchv1.Job) { j.Spec.TTLSecondsAfterFinished = ptr.To(int32(1)) })
	ended := []byte(`{"metadata":{"annotations":{"sandbox.epitaph/exit-code":"0"}}}`)
	if _, err := shared.client.CoreV1().Pods(ns).Patch(t.Context(), pod.Name, types.MergePatchType,
		ended, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+pod.Name, reason.Reason{
		Code: reason.JobFinished, By: kubeSystem + "generic-garbage-collector",
		Text: "This pod was removed because its job is over (Job work)",
	})
	shared.eventually(t, "the Job is gone", func(ctx context.Context) (bool, error) {
		_, err := shared.client.BatchV1().Jobs(ns).Get(ctx, "work", metav1.GetOptions{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

func TestJobIsSuspended(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pod := shared.job(t, ns, node)
	if _, err := shared.as(t, runner).BatchV1().Jobs(ns).Patch(t.Context(), "work",
		types.MergePatchType, []byte(`{"spec":{"suspend":true}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/"+pod.Name, reason.Reason{
		Code: reason.Suspended, By: kubeSystem + "job-controller",
		Text: "This pod was removed because its job was suspended (Job work)",
	})
}

func TestOwnerIsDeleted(t *testing.T) {
	t.Parallel()
	node := shared.node(t).Name
	for name, propagation := range map[string]metav1.DeletionPropagation{
		"background": metav1.DeletePropagationBackground,
		"foreground": metav1.DeletePropagationForeground,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := shared.namespace(t)
			sets := shared.client.AppsV1().ReplicaSets(ns)
			set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web"},
				Spec: appsv1.ReplicaSetSpec{
					Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: web},
					Template: template(ns, node),
				}}
			if _, err := sets.Create(t.Context(), set, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			pod := shared.theRunningPod(t, ns)
			by := shared.as(t, kubeSystem+"a-controller").AppsV1().ReplicaSets(ns)
			if err := by.Delete(t.Context(), "web",
				metav1.DeleteOptions{PropagationPolicy: &propagation}); err != nil {
				t.Fatal(err)
			}
			shared.leaves(t, reason.Pod, ns+"/"+pod.Name, reason.Reason{
				Code: reason.OwnerDeleted, By: kubeSystem + "generic-garbage-collector",
				Text: "This pod was removed because its owner was deleted (ReplicaSet web)",
			})
			shared.eventually(t, "the ReplicaSet is gone", func(ctx context.Context) (bool, error) {
				_, err := sets.Get(ctx, "web", metav1.GetOptions{})
				return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
			})
		})
	}
}
