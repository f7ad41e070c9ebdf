package e2e

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Who has something have fewer pods is named on the pods that go, where it is certain; kubectl is
// alice's.
func TestWhoScaledTheOwner(t *testing.T) {
	t.Parallel()
	scaledDown := func(says string) reason.Reason {
		return reason.New(reason.Pod, reason.ScaledDown, says, "alice")
	}
	kubectl := func(t *testing.T, ns string, args ...string) {
		t.Helper()
		if out, err := shared.kubectl(t, ns, args...); err != nil {
			t.Fatalf("kubectl %q: %s (%v)", args, out, err)
		}
	}
	t.Run("a Deployment", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.replicated(t, ns, node)
		kubectl(t, ns, "scale", "deployment/web", "--replicas=0")
		shared.leaves(t, reason.Pod, ns+"/"+pod, scaledDown("alice scaled Deployment web to 0"))
	})
	t.Run("a Deployment by an edit", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.replicated(t, ns, node)
		kubectl(t, ns, "annotate", "deployment/web", "meta.helm.sh/release-name=shop")
		kubectl(t, ns, "patch", "deployment/web", "-p", `{"spec":{"replicas":0}}`)
		shared.leaves(t, reason.Pod, ns+"/"+pod,
			scaledDown("alice scaled Deployment web of Helm release shop to 0"))
	})
	t.Run("a StatefulSet", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		if _, err := shared.client.AppsV1().StatefulSets(ns).Create(t.Context(),
			&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"},
				Spec: appsv1.StatefulSetSpec{Replicas: ptr.To(int32(2)),
					Selector: &metav1.LabelSelector{MatchLabels: web},
					Template: template(ns, node)}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.running(t, ns, 2, "")
		kubectl(t, ns, "scale", "statefulset/db", "--replicas=1")
		shared.leaves(t, reason.Pod, ns+"/db-1", scaledDown("alice scaled StatefulSet db to 1"))
	})
	t.Run("a Job that is suspended", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.activeJob(t, ns, node)
		kubectl(t, ns, "patch", "job/work", "-p", `{"spec":{"suspend":true}}`)
		want := reason.New(reason.Pod, reason.Suspended, "alice suspended Job work", "alice")
		shared.leaves(t, reason.Pod, ns+"/"+pod.Name, want)
		shared.wantRecord(t, ns, pod.Name, want)
	})
	t.Run("a program scales on", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		shared.replicated(t, ns, node)
		deployments := shared.as(t, runner).AppsV1().Deployments(ns)
		set := func(replicas int32) {
			t.Helper()
			if _, err := deployments.UpdateScale(t.Context(), "web", &autoscalingv1.Scale{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web"},
				Spec:       autoscalingv1.ScaleSpec{Replicas: replicas},
			}, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		set(3)
		shared.running(t, ns, 3, "")
		kubectl(t, ns, "scale", "deployment/web", "--replicas=2")
		left := shared.running(t, ns, 2, "")
		set(0)
		for _, p := range left {
			d := shared.leaves(t, reason.Pod, ns+"/"+p.Name, reason.Reason{})
			if d.Reason.Code != reason.ScaledDown || d.Reason.By == "alice" {
				t.Errorf("pod %s left with %+v, of which alice is not to blame", p.Name, d.Reason)
			}
		}
	})
	t.Run("for trial", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.replicated(t, ns, node)
		kubectl(t, ns, "scale", "deployment/web", "--replicas=0", "--dry-run=server")
		if all := shared.ownerRecords(t, ns); len(all) > 0 {
			t.Errorf("what was only tried is on record: %+v", all)
		}
		// A controller's scalings are not recorded, such as an autoscaler's.
		if _, err := shared.as(t, kubeSystem+"horizontal-pod-autoscaler").AppsV1().Deployments(
			ns).Patch(t.Context(), "web", types.MergePatchType,
			[]byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		d := shared.leaves(t, reason.Pod, ns+"/"+pod, reason.Reason{})
		if d.Reason.By != kubeSystem+"replicaset-controller" {
			t.Errorf("the pod left with %+v", d.Reason)
		}
		if all := shared.ownerRecords(t, ns); len(all) > 0 {
			t.Errorf("what an autoscaler did is on record: %+v", all)
		}
	})
}
