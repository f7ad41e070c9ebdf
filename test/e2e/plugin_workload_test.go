package e2e

import (
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// whyData is what `why -o json` says of an owner.
func (c *cluster) whyData(t *testing.T, ns, owner string, flags ...string) story.WorkloadData {
	t.Helper()
	got := c.plugin(t, append([]string{"why", owner, "-n", ns, "-o", "json"}, flags...)...)
	var d story.WorkloadData
	if err := json.Unmarshal([]byte(got.out), &d); got.code != 0 || err != nil {
		t.Fatalf("why %s said %+v: %v", owner, got, err)
	}
	return d
}

// evicts has a pod evicted.
func (c *cluster) evicts(t *testing.T, ns, pod string) {
	t.Helper()
	if err := c.as(t, runner).CoreV1().Pods(ns).EvictV1(t.Context(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: ns}}); err != nil {
		t.Fatalf("evict pod %s: %v", pod, err)
	}
}

// aJobIsToldWhole has the pods of one Job end by an eviction, a panic and by themselves.
func aJobIsToldWhole(t *testing.T, c *cluster) {
	ns := c.namespace(t)
	spec := podSpec(ns, "", "", func(p *corev1.Pod) {
		p.Spec.NodeSelector = map[string]string{"pool": ns}
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				LabelSelector: &metav1.LabelSelector{MatchLabels: web},
				TopologyKey:   corev1.LabelHostname}}}}
	}).Spec
	nodes := map[string]sandbox.Node{}
	for range 3 {
		n, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: unique("pool"),
			Labels: map[string]string{"pool": ns}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SignWith(t.Context(), n, tokenOfBoot); err != nil {
			t.Fatal(err)
		}
		nodes[n.Name] = n
	}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "etl"}, Spec: batchv1.JobSpec{
		Parallelism: ptr.To(int32(3)), Completions: ptr.To(int32(3)),
		BackoffLimit: ptr.To(int32(2)),
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: web},
			Spec: spec}}}
	if _, err := c.client.BatchV1().Jobs(ns).Create(t.Context(), job,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pods := c.running(t, ns, 3, "")
	time.Sleep(learned)

	c.evicts(t, ns, pods[0].Name)
	c.recorded(t, ns, pods[0].Name)
	dead := nodes[pods[1].Spec.NodeName]
	c.dies(t, dead.Name)
	c.says(t, dead.Address, aSignedPanic("sysrq triggered crash"))
	c.recorded(t, ns, pods[1].Name)

	var d story.WorkloadData
	c.eventually(t, "the Job counts both", func(context.Context) (bool, error) {
		d = c.whyData(t, ns, "job/etl")
		return d.Job != nil && d.Job.Failed == 2, nil
	})
	codes := map[string]string{}
	for _, p := range d.Ended {
		codes[p.PodName] = p.Code
	}
	running := map[string]bool{}
	for _, p := range d.Running {
		running[p.PodName] = true
	}
	if codes[pods[0].Name] != string(reason.Evicted) ||
		codes[pods[1].Name] != string(reason.KernelPanic) || !running[pods[2].Name] ||
		d.Ends.Disrupted != 2 || d.Ends.Failed != 0 || d.Exists != v1alpha1.Yes ||
		d.Verdict.Basis != story.JobNotOver {
		t.Errorf("of a Job that goes on, it said %s", d.Prose)
	}

	c.exitsWith(t, ns, pods[2].Name, "3")
	c.eventually(t, "the Job has failed", func(ctx context.Context) (bool, error) {
		d = c.whyData(t, ns, "job/etl")
		return strings.Contains(d.Prose, "has failed (BackoffLimitExceeded)") &&
			len(d.Running) == 0, nil
	})
	a := d.PodFailurePolicy
	if d.Ends.Disrupted != 2 || d.Ends.Failed != 1 || a == nil || a.WouldIgnore != 2 ||
		!a.WouldHaveSaved {
		t.Fatalf("of a Job that disruptions made fail, it said %+v, %+v: %s", d.Ends, a, d.Prose)
	}
	told := c.plugin(t, "why", "job", "etl", "-n", ns).out
	for _, want := range []string{
		": " + pods[0].Name + " on " + pods[0].Spec.NodeName + ", Evicted: ",
		": " + pods[1].Name + " on " + dead.Name + ", KernelPanic: ",
		": " + pods[2].Name + " on " + pods[2].Spec.NodeName +
			", Failed and still there [main ended with code 3]",
		"2 disrupted (Evicted 1, KernelPanic 1), 1 failed by itself",
		// Three, and those that it sweeps away because of them once it has counted them, too.
		" failures; its backoffLimit is 2.",
		"would not have counted 2 of them, and Job etl would not have failed.",
		"\n        podFailurePolicy:\n", "\n          - action: Ignore\n",
	} {
		if !strings.Contains(told, want) {
			t.Errorf("it did not say %q:\n%s", want, told)
		}
	}
	c.adviceHolds(t, ns, job, a.Add)
}

// adviceHolds runs the Job again with the lines that were advised: it counts no disruption.
func (c *cluster) adviceHolds(t *testing.T, ns string, job *batchv1.Job, lines string) {
	t.Helper()
	again := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "again"}, Spec: batchv1.JobSpec{
		Parallelism: ptr.To(int32(1)), BackoffLimit: ptr.To(int32(0)),
		Template: *job.Spec.Template.DeepCopy()}}
	again.Spec.Template.Labels = nil
	again.Spec.Template.Spec.Affinity = nil
	if err := yaml.UnmarshalStrict([]byte(lines), again); err != nil {
		t.Fatalf("the lines are no part of a Job: %v\n%s", err, lines)
	}
	if _, err := c.client.BatchV1().Jobs(ns).Create(t.Context(), again,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := c.runningPodOf(t, ns, "job-name=again")
	c.evicts(t, ns, pod)
	c.recorded(t, ns, pod)
	c.eventually(t, "another pod runs", func(context.Context) (bool, error) {
		return c.runningPodOf(t, ns, "job-name=again") != pod, nil
	})
	if d := c.whyData(t, ns, "job/again"); d.Job == nil || d.Job.Failed != 0 ||
		d.Ends.Disrupted != 1 || d.PodFailurePolicy != nil {
		t.Errorf("of the Job with the policy, it said %+v: %s", d.Job, d.Prose)
	}
}

// Owners of other kinds are told of as well, and those that are gone.
func TestPluginWhyOfOwners(t *testing.T) {
	t.Parallel()
	t.Run("a Deployment", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		pod := shared.replicated(t, ns, node)
		shared.evicts(t, ns, pod)
		shared.recorded(t, ns, pod)
		shared.eventually(t, "another pod runs", func(context.Context) (bool, error) {
			return shared.runningPodOf(t, ns, "app=web") != pod, nil
		})
		d := shared.whyData(t, ns, "deploy/web")
		if d.Kind != "Deployment" || d.Exists != v1alpha1.Yes || d.Ends.Disrupted != 1 ||
			len(d.Ended) != 1 || d.Ended[0].PodName != pod || len(d.Running) != 1 ||
			d.Running[0].PodName == pod || d.Verdict != nil || !strings.Contains(d.Prose,
			"Deployment web replaces its pods by itself") {
			t.Errorf("it said %+v", d)
		}
		// Who may read nothing but records is told what those say, and no more.
		shared.grant(t, ns, "ulla", v1alpha1.GroupVersion.Group, []string{"podobituaries"},
			[]string{"list"})
		d = shared.whyData(t, ns, "deployment.apps/web", "--as", "ulla")
		if d.Exists != v1alpha1.Unknown || len(d.Ended) != 1 || len(d.Running) != 0 ||
			!strings.Contains(d.Prose, "starts another pod is not known: it could not be read.") ||
			!strings.Contains(d.Prose, "Which other pods are its own could not be read.") {
			t.Errorf("of what may not be read, it said %+v", d)
		}
		if err := shared.as(t, "carol").AppsV1().Deployments(ns).Delete(t.Context(), "web",
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		for flag, deletion := range map[string]bool{"": true, "--as=ulla": false} {
			shared.eventually(t, "all its pods are on record", func(context.Context) (bool, error) {
				d = shared.whyData(t, ns, "deploy/web", "--namespace="+ns)
				return d.Exists == v1alpha1.No && len(d.Ended) == 2 && len(d.Running) == 0, nil
			})
			if flag != "" {
				d = shared.whyData(t, ns, "deploy/web", flag)
			}
			if (d.Deletion != nil) != deletion || d.Ends.Disrupted != 1 || d.Ends.Removed != 1 ||
				!strings.Contains(d.Prose, "carol deleted Deployment web") {
				t.Errorf("of a Deployment that is gone, it said %s", d.Prose)
			}
		}
	})
	t.Run("an owner of another kind", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		kind := shared.defineKinds(t, "workload.codeflare.dev", "appwrappers")[0]
		top := shared.owner(t, ns, kind, nil)
		pod := shared.activeJob(t, ns, node, func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{*top}
		})
		for _, called := range []string{"appwrapper.workload.codeflare.dev",
			"AppWrappers.workload.codeflare.dev"} {
			d := shared.whyData(t, ns, called+"/"+top.Name)
			if d.Kind != kind.Kind || d.Exists != v1alpha1.Yes || len(d.Running) != 1 ||
				d.Running[0].PodName != pod.Name {
				t.Errorf("of %s, it said %+v", called, d)
			}
		}
		carol, err := dynamic.NewForConfig(shared.As("carol", "system:masters"))
		if err != nil {
			t.Fatal(err)
		}
		objects := carol.Resource(kind.GroupVersion().WithResource(kind.resource)).Namespace(ns)
		if err := objects.Delete(t.Context(), top.Name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.recorded(t, ns, pod.Name)
		shared.eventually(t, "it is gone, and its Job", func(ctx context.Context) (bool, error) {
			_, err := objects.Get(ctx, top.Name, metav1.GetOptions{})
			_, job := shared.client.BatchV1().Jobs(ns).Get(ctx, "work", metav1.GetOptions{})
			return apierrors.IsNotFound(err) && apierrors.IsNotFound(job), nil
		})
		says := "carol deleted " + kind.Kind + " " + top.Name
		for owner, want := range map[string]string{
			"appwrapper.workload.codeflare.dev/" + top.Name: kind.Kind + " " + top.Name +
				" is gone: it starts no more pods.",
			"job/work": "Job work is gone: it starts no more pods.",
		} {
			d := shared.whyData(t, ns, owner)
			if d.Exists != v1alpha1.No || len(d.Ended) != 1 || d.Ends.Removed != 1 ||
				!strings.Contains(d.Prose, says) || !strings.Contains(d.Prose, want) {
				t.Errorf("of %s that is gone, it said %s", owner, d.Prose)
			}
			if owner == "job/work" && (d.Deletion == nil || d.Deletion.DeletedBy != "carol") {
				t.Errorf("who deleted it is %+v", d.Deletion)
			}
		}
	})
	t.Run("a CronJob", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "nightly"}}
		cron.Spec.Schedule, cron.Spec.Suspend = "@yearly", ptr.To(true)
		cron.Spec.JobTemplate.Spec.Template = template(ns, node)
		cron.Spec.JobTemplate.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyNever
		made, err := shared.client.BatchV1().CronJobs(ns).Create(t.Context(), cron,
			metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pod := shared.activeJob(t, ns, node, func(j *batchv1.Job) { // as kubectl create job --from
			j.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(made,
				batchv1.SchemeGroupVersion.WithKind("CronJob"))}
		})
		shared.evicts(t, ns, pod.Name)
		shared.recorded(t, ns, pod.Name)
		var d story.WorkloadData
		shared.eventually(t, "its Job has another pod", func(context.Context) (bool, error) {
			d = shared.whyData(t, ns, "cj/nightly")
			return len(d.Running) == 1 && d.Running[0].PodName != pod.Name, nil
		})
		if d.Kind != "CronJob" || d.Exists != v1alpha1.Yes || d.Ends.Disrupted != 1 ||
			d.Verdict != nil || !strings.Contains(d.Prose, pod.Name+" on "+node+", Evicted: ") ||
			!strings.Contains(d.Prose, "podFailurePolicy that ignores DisruptionTarget") {
			t.Errorf("it said %+v: %s", d.Ends, d.Prose)
		}
	})
	t.Run("a StatefulSet", func(t *testing.T) {
		t.Parallel()
		ns, node := shared.namespace(t), shared.node(t).Name
		set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"}}
		set.Spec.Template = template(ns, node)
		set.Spec.Selector = &metav1.LabelSelector{MatchLabels: set.Spec.Template.Labels}
		if _, err := shared.client.AppsV1().StatefulSets(ns).Create(t.Context(), set,
			metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		first := shared.theRunningPod(t, ns)
		shared.evicts(t, ns, first.Name)
		shared.recorded(t, ns, first.Name)
		var d story.WorkloadData
		shared.eventually(t, "the pod is there again", func(context.Context) (bool, error) {
			d = shared.whyData(t, ns, "sts/db")
			return len(d.Running) == 1 && d.Running[0].PodUID != first.UID, nil
		})
		if d.Kind != "StatefulSet" || d.Ends.Disrupted != 1 || len(d.Ended) != 1 ||
			d.Ended[0].PodUID != first.UID || !strings.Contains(d.Prose,
			"StatefulSet db replaces its pods by itself") {
			t.Errorf("it said %+v: %s", d.Ends, d.Prose)
		}
	})
	t.Run("a kind that was never there", func(t *testing.T) {
		t.Parallel()
		got := shared.plugin(t, "why", "ghost.example.com/x", "-n", "default")
		if got.code != 3 || !strings.Contains(got.err,
			"not found: ghost.example.com default/x is not on record") {
			t.Errorf("it said %+v", got)
		}
	})
}

// A record has what programs and teams select by, whatever the pod's program has left, and neither
// a terminal nor a browser is made to obey it.
func TestRecordHasWhatProgramsAskFor(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "train", func(p *corev1.Pod) {
		p.Labels = map[string]string{"team": "a", "example.com/secret": "s"}
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("100m")}
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("1500m")}
	})
	shared.pod(t, ns, node, "other", func(p *corev1.Pod) {
		p.Labels = map[string]string{"team": "b"}
	})
	status := in(corev1.PodRunning, container("main", exited(3, "Error", time.Now())))
	status.ContainerStatuses[0].Image = "registry.example/work:1" + hostile
	status.ContainerStatuses[0].State.Terminated.Message = strings.Repeat(hostile, 1<<20/
		len(hostile)) + "out of luck"
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.client.CoreV1().Pods(ns).Patch(t.Context(), "train", types.MergePatchType,
		patch, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"train", "other"} {
		shared.annotate(t, ns, name, "no use any more")
		// At once: kwok would write another status when it stops the pod.
		if err := shared.as(t, "alice").CoreV1().Pods(ns).Delete(t.Context(), name,
			metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}); err != nil {
			t.Fatal(err)
		}
		shared.recorded(t, ns, name)
	}
	got := shared.plugin(t, "why", "pod/train", "-n", ns, "-o", "json")
	var d story.PodData
	if err := json.Unmarshal([]byte(got.out), &d); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	c := d.Containers[0]
	if len(d.Labels) != 1 || d.Labels["team"] != "a" || d.Requests["cpu"] != "100m" ||
		d.Limits["cpu"] != "1500m" || d.Exists || d.Code != string(reason.UserRequest) ||
		d.Verdict == nil || !strings.HasPrefix(c.Image, "registry.example/work:1") ||
		!strings.HasSuffix(c.Message, "out of luck") || len(c.Message) > 512 ||
		!strings.Contains(d.Prose, "out of luck") {
		t.Errorf("it said %+v", got)
	}
	for _, args := range [][]string{{"why", "train"}, {"why", "train", "-o", "yaml"},
		{"why", "train", "-o", "json"}, {"list", "-o", "yaml"}, {"list", "-o",
			"custom-columns=I:.spec.containers[0].image,M:.spec.containers[0].message"}} {
		got := shared.plugin(t, append(args, "-n", ns)...)
		if n := strings.IndexFunc(strings.ReplaceAll(got.out, "\n", ""), obeyed); n >= 0 ||
			got.code != 0 || len(got.out) > 16<<10 {
			t.Errorf("%v lets a terminal obey %q", args, got.out)
		}
	}
	selected, err := exec.CommandContext(t.Context(), shared.Programs["kubectl"], "--kubeconfig",
		shared.Kubeconfig, "get", "podobituaries", "-n", ns, "-l", "team=a", "-o",
		"jsonpath={.items[*].spec.podName}").CombinedOutput()
	if err != nil || string(selected) != "train" {
		t.Errorf("kubectl get -l said %s, %v", selected, err)
	}
	for selector, want := range map[string]string{"team=b": "other", "team in (a,b)": "train other",
		"team=c": "", "!team": ""} {
		got := shared.plugin(t, "list", "-n", ns, "-l", selector, "-o",
			"jsonpath={.items[*].spec.podName}")
		names := strings.Fields(got.out)
		slices.Sort(names)
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if got.code != 0 || !slices.Equal(names, wanted) {
			t.Errorf("list -l %q said %+v, want %s", selector, got, want)
		}
	}
	if got := shared.plugin(t, "list", "-l", "a=b=c"); got.code != 2 {
		t.Errorf("of a wrong selector, it said %+v", got)
	}
}
