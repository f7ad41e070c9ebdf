package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
)

// typed is a client that knows obituaries, too.
func (c *cluster) typed(t *testing.T, config *rest.Config) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme,
		v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	config.QPS, config.Burst = 1000, 1000
	api, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// obituaries lists what is on record of a namespace's pods.
func (c *cluster) obituaries(t *testing.T, namespace string) []v1alpha1.PodObituary {
	t.Helper()
	all := &v1alpha1.PodObituaryList{}
	if err := c.typed(t, c.RESTConfig()).List(t.Context(), all,
		client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// recorded waits for the obituary of a pod.
func (c *cluster) recorded(t *testing.T, namespace, pod string) v1alpha1.PodObituary {
	t.Helper()
	var found v1alpha1.PodObituary
	c.eventually(t, "pod "+pod+" is recorded", func(context.Context) (bool, error) {
		for _, o := range c.obituaries(t, namespace) {
			if o.Spec.PodName == pod {
				found = o
				return true, nil
			}
		}
		return false, nil
	})
	return found
}

func (c *cluster) remove(t *testing.T, by *kubernetes.Clientset, namespace, pod string) {
	t.Helper()
	if err := by.CoreV1().Pods(namespace).Delete(t.Context(), pod,
		metav1.DeleteOptions{}); err != nil {
		t.Fatalf("delete pod %s: %v", pod, err)
	}
}

func TestRecordOfPods(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name

	t.Run("a person deletes a pod and says why", func(t *testing.T) {
		t.Parallel()
		pod := shared.pod(t, ns, node, "said")
		shared.annotate(t, ns, "said", "frees the licence")
		shared.remove(t, shared.as(t, "alice"), ns, "said")
		o := shared.recorded(t, ns, "said")
		got := []any{o.Spec.Code, o.Spec.Class, o.Spec.Reason, o.Spec.PodUID, o.Spec.NodeName,
			o.Spec.NodeObituary}
		want := []any{"UserRequest", "routine", "frees the licence", pod.UID, node, ""}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("recorded %v, want %v", got, want)
		}
		if o.Spec.DeletionRequested == nil || len(o.Spec.Containers) != 1 ||
			o.Spec.Containers[0].State != v1alpha1.Exited || *o.Spec.Containers[0].ExitCode != 143 {
			t.Errorf(
				"deletion requested at %v, containers %+v, want one that exited with 143 when it was told to", o.Spec.DeletionRequested, o.Spec.Containers)
		}
	})
	t.Run("a program deletes a pod and does not say why", func(t *testing.T) {
		t.Parallel()
		pod := shared.pod(t, ns, node, "unsaid")
		shared.remove(t, shared.as(t, runner), ns, "unsaid")
		o := shared.recorded(t, ns, "unsaid")
		if o.Spec.Code != "Unexplained" || o.Spec.Class != "unexplained" || o.Spec.By != runner {
			t.Errorf("recorded %s (%s) by %q, want a finding with the name of %s", o.Spec.Code,
				o.Spec.Class, o.Spec.By, runner)
		}
		want :=
			"Pod unsaid left: Nobody said why this pod was deleted, and nothing could be inferred (deleted by " + runner + ")"
		shared.eventually(t, "the finding is an Event on the pod",
			func(ctx context.Context) (bool, error) {
				events, err := shared.client.CoreV1().Events(ns).List(ctx,
					metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(pod.UID) +
						",reason=PodUnexplained"})
				return err == nil && len(events.Items) == 1 && events.Items[0].Message == want, err
			})
	})
	t.Run("a node takes its pod with it", func(t *testing.T) {
		t.Parallel()
		doomed := shared.node(t).Name
		pod := shared.pod(t, ns, doomed, "orphan")
		shared.annotateNode(t, doomed, diskOfNode)
		if err := shared.StopKubelet(t.Context(), doomed); err != nil {
			t.Fatal(err)
		}
		shared.deleteNode(t, doomed)
		o := shared.recorded(t, ns, "orphan")
		if o.Spec.Code != "HardwareFailure" || o.Spec.Reason != string(diskOfPod.Text) ||
			o.Spec.PodUID != pod.UID {
			t.Errorf("recorded %s: %s", o.Spec.Code, o.Spec.Reason)
		}
		if o.Spec.Containers[0].State != v1alpha1.Running {
			t.Errorf("the container is %s, want it running when it was last heard of",
				o.Spec.Containers[0].State)
		}
		record := &v1alpha1.NodeObituary{}
		if err := shared.typed(t, shared.RESTConfig()).Get(t.Context(),
			client.ObjectKey{Name: o.Spec.NodeObituary},
			record); err != nil || record.Spec.NodeName != doomed {
			t.Errorf("its node's record %q is about %q (%v), want %s", o.Spec.NodeObituary,
				record.Spec.NodeName, err, doomed)
		}
	})
	t.Run("a pod of a cron job is evicted", func(t *testing.T) {
		t.Parallel()
		name := shared.cronPod(t, ns, node)
		err := shared.as(t, runner).CoreV1().Pods(ns).EvictV1(t.Context(),
			&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}})
		if err != nil {
			t.Fatal(err)
		}
		o := shared.recorded(t, ns, name)
		if o.Spec.Code != "Evicted" || o.Spec.By != runner {
			t.Errorf("recorded %s by %q", o.Spec.Code, o.Spec.By)
		}
		if w := o.Spec.Owners; len(w) != 2 || !story.IsKind(w[0], reason.JobKind) ||
			!story.IsKind(w[1], reason.CronJobKind) || w[1].Name != "nightly" {
			t.Fatalf("its owners are %+v, want the Job and the CronJob nightly", w)
		}
		note := "Pod " + name + " left: " + o.Spec.Reason
		shared.noted(t, ns, "involvedObject.kind=Pod,involvedObject.uid="+string(o.Spec.PodUID),
			"PodDisrupted", note)
		shared.noted(t, ns, "involvedObject.kind=Job,involvedObject.uid="+
			string(o.Spec.Owners[0].UID), "PodDisrupted", note+" "+allDisrupted(1))
		shared.noted(t, ns, "involvedObject.kind=CronJob,involvedObject.name=nightly",
			"PodDisrupted", note)
		shared.noted(t, metav1.NamespaceDefault,
			"involvedObject.kind=Node,involvedObject.name="+node, "PodDisrupted",
			"A pod of this node left: Evicted (disruption)")
	})
	t.Run("a pod of a deployment", func(t *testing.T) {
		t.Parallel()
		other := shared.namespace(t)
		pod := shared.replicated(t, other, node)
		shared.remove(t, shared.as(t, runner), other, pod)
		shared.wantOwners(t, other, pod, "ReplicaSet", "Deployment")
		for _, kind := range []string{"ReplicaSet", "Deployment"} {
			shared.noted(t, other, "involvedObject.kind="+kind, "PodUnexplained",
				"Pod "+pod+" left: "+shared.recorded(t, other, pod).Spec.Reason)
		}
		out, err := shared.kubectl(t, other, "get", "podobituaries", "-o", "wide")
		if head, _, _ := strings.Cut(out, "\n"); err != nil ||
			strings.Join(strings.Fields(head),
				" ") != "NAME POD CODE REASON NODE OWNER BY DELETED BY REMOVED" {
			t.Errorf("kubectl shows %q (%v)", out, err)
		}
	})
	t.Run("a node that leaves without a reason", func(t *testing.T) {
		t.Parallel()
		before := shared.metricOf(t, audit.MetricNodeFindings, "by", "program")
		doomed := shared.node(t).Name
		shared.deleteNode(t, doomed)
		note := "Node " + doomed +
			" leaves: Nobody said why this node was deleted, and nothing could be inferred (deleted by " + runner + ")"
		shared.noted(t, metav1.NamespaceDefault,
			"involvedObject.kind=Node,involvedObject.name="+doomed, "NodeUnexplained", note)
		if after := shared.metricOf(t, audit.MetricNodeFindings, "by", "program"); after < before+
			1 {
			t.Errorf("%v findings of nodes after %v", after, before)
		}
	})
	t.Run("a pod that had finished was not cut off", func(t *testing.T) {
		t.Parallel()
		shared.create(t, podSpec(ns, node, "through",
			func(p *corev1.Pod) {
				p.Annotations = map[string]string{"sandbox.epitaph/exit-code": "0"}
			}))
		shared.eventually(t, "the pod has succeeded", func(context.Context) (bool, error) {
			return shared.alive(t, ns, "through").Status.Phase == corev1.PodSucceeded, nil
		})
		// times have whole seconds: let the end and the deletion be two
		time.Sleep(1100 * time.Millisecond)
		shared.annotate(t, ns, "through", "its log is archived")
		shared.remove(t, shared.as(t, "alice"), ns, "through")
		o := shared.recorded(t, ns, "through")
		if o.Spec.Phase != "Succeeded" || o.Spec.Containers[0].State != v1alpha1.Exited ||
			*o.Spec.Containers[0].ExitCode != 0 || o.Spec.Class == "disruption" {
			t.Errorf("recorded in phase %s (%s) with %+v", o.Spec.Phase, o.Spec.Class,
				o.Spec.Containers)
		}
	})
	t.Run("what is routine is only counted", func(t *testing.T) {
		t.Parallel()
		other := shared.namespace(t)
		pod := shared.replicated(t, other, node)
		web := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "web"}}
		none := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":0}}`))
		if err := shared.typed(t, shared.RESTConfig()).Patch(t.Context(), web, none); err != nil {
			t.Fatal(err)
		}
		d := shared.leaves(t, reason.Pod, other+"/"+pod, reason.Reason{})
		if d.Reason.Code != reason.ScaledDown {
			t.Fatalf("left with %+v", d.Reason)
		}
		// Departures are recorded in the order of the watch, give or take the workers: what leaves
		// now is recorded later.
		shared.pod(t, other, node, "later")
		shared.remove(t, shared.as(t, runner), other, "later")
		shared.recorded(t, other, "later")
		if all := shared.obituaries(t, other); len(all) != 1 {
			t.Errorf("%d obituaries, want the one of the pod that was not routine: %+v", len(all),
				all)
		}
		if shared.metric(t, "epitaph_audit_pods_left_total") < 2 {
			t.Error("what left is not counted")
		}
	})
}

// noted waits for an Event with that text.
func (c *cluster) noted(t *testing.T, namespace, about, why, text string) {
	t.Helper()
	c.eventually(t, why+" of "+about+" is an Event", func(ctx context.Context) (bool, error) {
		events, err := c.client.CoreV1().Events(namespace).List(ctx,
			metav1.ListOptions{FieldSelector: about + ",reason=" + why})
		return err == nil && slices.ContainsFunc(events.Items,
			func(e corev1.Event) bool { return e.Message == text }), err
	})
}

// cronPod makes a CronJob, has a Job of it run, and returns the Job's pod.
func (c *cluster) cronPod(t *testing.T, ns, node string) string {
	t.Helper()
	spec := batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: podSpec(ns, node, "").Spec}}
	spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
	cron, err := c.client.BatchV1().CronJobs(ns).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly"},
		Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *",
			JobTemplate: batchv1.JobTemplateSpec{Spec: spec}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "nightly-1", OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(cron, batchv1.SchemeGroupVersion.WithKind("CronJob")),
		}},
		Spec: spec,
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c.runningPodOf(t, ns, "job-name=nightly-1")
}

func (c *cluster) replicated(t *testing.T, ns, node string) string {
	t.Helper()
	labels := map[string]string{"app": "web"}
	_, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: podSpec(ns, node, "").Spec},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c.runningPodOf(t, ns, "app=web")
}

// runningPodOf waits until a controller's pod runs, and returns its name.
func (c *cluster) runningPodOf(t *testing.T, ns, selector string) (name string) {
	t.Helper()
	c.eventually(t, "a pod with "+selector+" runs", func(ctx context.Context) (bool, error) {
		pods, err := c.client.CoreV1().Pods(ns).List(ctx,
			metav1.ListOptions{LabelSelector: selector})
		if err != nil || len(pods.Items) == 0 || pods.Items[0].Status.Phase != corev1.PodRunning {
			return false, err
		}
		name = pods.Items[0].Name
		return true, nil
	})
	return name
}

// In one namespace everything that would be obeyed by a terminal or a browser, or find no room.
func TestHostilePodIsRecordedHarmlessly(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	evil := "\x1b]0;owned\x07<script>alert(1)</script>\u202e"
	shared.pod(t, ns, node, "evil", func(p *corev1.Pod) {
		p.Annotations = map[string]string{"example.com/huge": strings.Repeat("<b>\x1b[2J", 30_000)}
		p.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "v1", Kind: strings.Repeat("Evil", 100), Name: strings.Repeat(evil, 100),
			UID: "not-a-uid", Controller: ptr.To(true),
		}}
		// The garbage collector would remove a pod whose owner is not there; this kind it cannot
		// resolve.
	})
	patch := client.RawPatch(types.MergePatchType,
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q,%q:%q,%q:%q}}}`,
			keys.Pod.Reason, "<img src=x onerror=alert(1)>", keys.Pod.Code, "Evil<i>", keys.Pod.By,
			strings.Repeat("<b>", 500)))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "evil"}}
	if err := shared.typed(t, shared.RESTConfig()).Patch(t.Context(), pod, patch); err != nil {
		t.Fatal(err)
	}
	shared.remove(t, shared.as(t, runner), ns, "evil")
	o := shared.recorded(t, ns, "evil")
	if shown := fmt.Sprintf("%+v", o.Spec); strings.ContainsAny(shown, "\x1b\x07\u202e") {
		t.Errorf("a terminal would obey %q", shown)
	}
	if o.Spec.Reason != "<img src=x onerror=alert(1)>" || o.Spec.Class != "unexplained" ||
		len(o.Spec.By) > 256 || len(o.Spec.Owners) != 1 {
		t.Errorf("recorded %+v", o.Spec)
	}
}
