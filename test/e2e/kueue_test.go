package e2e

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	kueueController = "system:serviceaccount:kube-system:kueue-controller-manager"
	queueLabel      = "kueue.x-k8s.io/queue-name"
	// podsReady is how long Kueue waits for the pods of an admitted job: longer than a busy
	// machine takes.
	podsReady = 45 * time.Second
	// kueuePatience is for what Kueue thinks over.
	kueuePatience = 5 * time.Minute
)

func kueues(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "kueue.x-k8s.io", Version: "v1beta2",
		Resource: resource}
}

var jobSets = schema.GroupVersionResource{Group: "jobset.x-k8s.io", Version: "v1alpha2",
	Resource: "jobsets"}

// The real Kueue, with the real JobSet, stops what it has admitted, for each of its reasons. What
// it says stands on its Workloads; the pods are deleted by the Job controller, but for plain ones.
func TestKueueSaysWhyJobsStop(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{
		Configure: func(o *config.Config) {
			quick(o)
			o.Inference.OwnerSignals = ticketSignals()
		}}})
	c.spent = true // Kueue has kinds and webhooks of its own here.
	if err := c.StartKueue(t.Context(), podsReady); err != nil {
		t.Fatal(err)
	}
	k := &kueueCluster{cluster: c, objects: c.dynamic(t)}
	k.eventually(t, "Kueue answers its webhooks", func(ctx context.Context) (bool, error) {
		_, err := k.objects.Resource(kueues("resourceflavors")).Create(ctx,
			object("kueue.x-k8s.io/v1beta2", "ResourceFlavor", "", "default", nil),
			metav1.CreateOptions{})
		return err == nil, nil
	})
	for name, value := range map[string]int64{"low": 10, "high": 1000} {
		class := object("kueue.x-k8s.io/v1beta2", "WorkloadPriorityClass", "", name,
			map[string]any{"value": value})
		delete(class.Object, "spec")
		class.Object["value"] = value
		k.make(t, kueues("workloadpriorityclasses"), class)
	}
	// They are not asked for again at once if they are not there when the first Job is suspended.
	ticket := kindOf("queue.example.com", "tickets")
	ray, argo, train, group := operatorKinds()
	k.serveKinds(t, ticket, ray, argo, train, group)
	// The chart grants these for each kind of the configuration.
	k.grant(t, "", "system:serviceaccount:"+ourNamespace+":"+string(theManager), ticket.Group,
		[]string{ticket.resource}, []string{"get", "list"})
	t.Run("reason", func(t *testing.T) {
		stops := map[string]func(*testing.T){
			"pods not ready": k.isNotReady, "queue stopped": k.stopsTheQueue,
			"workload deleted": k.deletesTheWorkload, "took too long": k.takeTooLong,
			"of another queue": k.isOutbid,
			"operators":        k.operators, "jobset disrupted": k.restartsAJobSet,
		}
		for _, w := range k.work() {
			for name, stop := range map[string]func(*testing.T, kueueWork){
				"preempted": k.preempts, "reclaimed": k.reclaims, "deactivated": k.deactivates,
				"on a failed node": k.losesANode,
			} {
				stops[w.what+" "+name] = func(t *testing.T) { stop(t, w) }
			}
		}
		together(t, stops)
	})
	t.Run("without the right", k.mayNotReadWorkloads)
}

// A kueueCluster is one with Kueue in it.
type kueueCluster struct {
	*cluster
	objects dynamic.Interface
}

// object is one with a spec.
func object(apiVersion, kind, ns, name string, spec map[string]any) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	if spec == nil {
		u.Object["spec"] = map[string]any{}
	}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	u.SetNamespace(ns)
	u.SetName(name)
	return u
}

func (k *kueueCluster) make(t *testing.T, resource schema.GroupVersionResource,
	o *unstructured.Unstructured) {
	t.Helper()
	var at dynamic.ResourceInterface = k.objects.Resource(resource)
	if o.GetNamespace() != "" {
		at = k.objects.Resource(resource).Namespace(o.GetNamespace())
	}
	if _, err := at.Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
		t.Fatalf("create %s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

// queue makes a namespace with a LocalQueue "q" of a ClusterQueue with so many CPUs, and returns
// its name, which is also the ClusterQueue's.
func (k *kueueCluster) queue(t *testing.T, cpu string, change ...func(map[string]any)) (ns string) {
	t.Helper()
	ns = k.namespace(t)
	spec := map[string]any{
		"namespaceSelector": map[string]any{},
		"preemption":        map[string]any{"withinClusterQueue": "LowerPriority"},
		"resourceGroups": []any{map[string]any{
			"coveredResources": []any{"cpu"},
			"flavors": []any{map[string]any{"name": "default",
				"resources": []any{map[string]any{"name": "cpu", "nominalQuota": cpu}}}},
		}},
	}
	for _, f := range change {
		f(spec)
	}
	k.make(t, kueues("clusterqueues"),
		object("kueue.x-k8s.io/v1beta2", "ClusterQueue", "", ns, spec))
	k.make(t, kueues("localqueues"), object("kueue.x-k8s.io/v1beta2", "LocalQueue", ns, "q",
		map[string]any{"clusterQueue": ns}))
	return ns
}

// queued is a pod that asks for a CPU and ends when it is told to.
func queued(change ...func(*corev1.PodTemplateSpec)) corev1.PodTemplateSpec {
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: ptr.To(int64(1)),
		Containers: []corev1.Container{{Name: "main", Image: "registry.example/work:1",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("1")}}}},
	}}
	for _, f := range change {
		f(&template)
	}
	return template
}

// submit gives a Job to the queue.
func (k *kueueCluster) submit(t *testing.T, ns, name, priority string,
	change ...func(*batchv1.Job)) {
	t.Helper()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{queueLabel: "q",
			"kueue.x-k8s.io/priority-class": priority}},
		Spec: batchv1.JobSpec{Template: queued()},
	}
	for _, f := range change {
		f(job)
	}
	if _, err := k.client.BatchV1().Jobs(ns).Create(t.Context(), job,
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// run waits until so many pods run in the namespace.
func (k *kueueCluster) run(t *testing.T, ns string, n int) (pods []corev1.Pod) {
	t.Helper()
	k.eventuallyWithin(t, kueuePatience, fmt.Sprintf("%d pods run in %s", n, ns),
		func(context.Context) (bool, error) {
			pods = k.podsIn(t, ns)
			running := 0
			for _, p := range pods {
				if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
					running++
				}
			}
			return running == n && len(pods) == n, nil
		})
	return pods
}

// goes waits until the pod has left, and compares what it left with. What Kueue has written is
// asked of want when the pod has left.
func (k *kueueCluster) goes(t *testing.T, ns, pod string, code reason.Code, by string,
	detail func() string) {
	t.Helper()
	k.eventuallyWithin(t, kueuePatience, "pod "+pod+" goes",
		func(context.Context) (bool, error) {
			_, saw := k.witness.Saw(reason.Pod, ns+"/"+pod)
			return saw, nil
		})
	k.leaves(t, reason.Pod, ns+"/"+pod, reason.New(reason.Pod, code, detail(), by))
}

// workload finds the only Workload of the namespace whose name has these words.
func (k *kueueCluster) workload(t *testing.T, ns, has string) *unstructured.Unstructured {
	t.Helper()
	all, err := k.objects.Resource(kueues("workloads")).Namespace(ns).List(t.Context(),
		metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range all.Items {
		if strings.Contains(all.Items[n].GetName(), has) {
			return &all.Items[n]
		}
	}
	t.Fatalf("namespace %s has no Workload %s", ns, has)
	return nil
}

// preempted are Kueue's words on a Workload that was preempted for another one.
func (k *kueueCluster) preempted(t *testing.T, ns, by, because, path, of string) func() string {
	return func() string {
		w := k.workload(t, ns, by)
		return fmt.Sprintf("Preempted to accommodate a workload (UID: %s, JobUID: %s) due to %s; "+
			"preemptor path: %s; preemptee path: %s", w.GetUID(),
			w.GetLabels()["kueue.x-k8s.io/job-uid"], because, path, of)
	}
}

// kueueWork is one way of giving two pods to a queue, as "victim", with a priority. labels go on
// what Kueue manages, change is for the pods.
type kueueWork struct {
	what  string
	start func(t *testing.T, ns, priority string, labels map[string]string,
		change ...func(*corev1.PodTemplateSpec))
	// plain pods Kueue deletes itself, and says on them why. It keeps them by a finalizer until
	// others take their place in the group.
	plain bool
}

// queuedAt are the labels of what waits in the queue.
func queuedAt(priority string, more map[string]string) map[string]string {
	all := map[string]string{queueLabel: "q", "kueue.x-k8s.io/priority-class": priority}
	maps.Copy(all, more)
	return all
}

// work is each kind of it that Kueue treats in a way of its own.
func (k *kueueCluster) work() []kueueWork {
	return []kueueWork{k.aJob(), k.aGroup(), k.aJobSet()}
}

func (k *kueueCluster) aJob() kueueWork {
	return kueueWork{what: "job", start: func(t *testing.T, ns, priority string,
		labels map[string]string, change ...func(*corev1.PodTemplateSpec)) {
		k.submit(t, ns, "victim", priority, func(j *batchv1.Job) {
			maps.Copy(j.Labels, labels)
			j.Spec.Parallelism, j.Spec.Completions = ptr.To(int32(2)), ptr.To(int32(2))
			j.Spec.Template = queued(change...)
		})
	}}
}

func (k *kueueCluster) aGroup() kueueWork {
	return kueueWork{what: "group", plain: true, start: func(t *testing.T, ns, priority string,
		labels map[string]string, change ...func(*corev1.PodTemplateSpec)) {
		for _, name := range []string{"a", "b"} {
			template := queued(change...)
			all := queuedAt(priority, labels)
			all["kueue.x-k8s.io/pod-group-name"] = "victim"
			annotations := map[string]string{"kueue.x-k8s.io/pod-group-total-count": "2"}
			maps.Copy(annotations, template.Annotations)
			k.create(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name,
				Labels: all, Annotations: annotations}, Spec: template.Spec})
		}
	}}
}

// aJobSet has two Jobs of a pod each. The Workload belongs to the JobSet, which suspends them.
func (k *kueueCluster) aJobSet() kueueWork {
	return kueueWork{what: "jobset", start: func(t *testing.T, ns, priority string,
		labels map[string]string, change ...func(*corev1.PodTemplateSpec)) {
		template, err := runtime.DefaultUnstructuredConverter.ToUnstructured(
			&batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: queued(change...)}})
		if err != nil {
			t.Fatal(err)
		}
		set := object("jobset.x-k8s.io/v1alpha2", "JobSet", ns, "victim",
			map[string]any{"replicatedJobs": []any{map[string]any{
				"name": "workers", "replicas": int64(2), "template": template,
			}}})
		set.SetLabels(queuedAt(priority, labels))
		k.make(t, jobSets, set)
	}}
}

// goesAs waits until a pod of the work goes. A plain pod's own condition says why Kueue deletes it.
func (k *kueueCluster) goesAs(t *testing.T, w kueueWork, pod *corev1.Pod, code reason.Code,
	detail func() string) {
	t.Helper()
	if w.plain {
		k.isTold(t, pod.Namespace, pod.Name, code, kueueController, detail)
		return
	}
	k.goes(t, pod.Namespace, pod.Name, code, kubeSystem+"job-controller", detail)
}

const inTheQueue = "prioritization in the ClusterQueue"

// Within a ClusterQueue a job of a higher priority takes the place of another one.
func (k *kueueCluster) preempts(t *testing.T, w kueueWork) {
	ns := k.queue(t, "2")
	w.start(t, ns, "low", nil)
	pods := k.run(t, ns, 2)
	k.submit(t, ns, "urgent", "high")
	for _, p := range pods {
		k.goesAs(t, w, &p, reason.Preempted,
			k.preempted(t, ns, "urgent", inTheQueue, "/"+ns, "/"+ns))
	}
}

// A queue takes back from the cohort what another one had borrowed.
func (k *kueueCluster) reclaims(t *testing.T, w kueueWork) {
	cohort := unique("cohort")
	in := func(spec map[string]any) {
		spec["cohortName"] = cohort
		spec["preemption"] = map[string]any{"reclaimWithinCohort": "Any"}
	}
	borrows, owns := k.queue(t, "0", in), k.queue(t, "2", in)
	w.start(t, borrows, "high", nil)
	pods := k.run(t, borrows, 2)
	k.submit(t, owns, "owner", "low")
	for _, p := range pods {
		k.goesAs(t, w, &p, reason.Preempted,
			k.preempted(t, owns, "owner", "reclamation within the cohort",
				"/"+cohort+"/"+owns, "/"+cohort+"/"+borrows))
	}
}

// patchWorkload changes a Workload as a person does.
func (k *kueueCluster) patchWorkload(t *testing.T, ns, name, patch string) {
	t.Helper()
	if _, err := k.objects.Resource(kueues("workloads")).Namespace(ns).Patch(t.Context(), name,
		types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

func says(what string) func() string { return func() string { return what } }

// A person sets the Workload to inactive: no disruption.
func (k *kueueCluster) deactivates(t *testing.T, w kueueWork) {
	ns := k.queue(t, "2")
	w.start(t, ns, "low", nil)
	pods := k.run(t, ns, 2)
	name := k.workload(t, ns, "victim").GetName()
	k.patchWorkload(t, ns, name, `{"spec":{"active":false}}`)
	for _, p := range pods {
		words := "WorkloadEvictedDueToDeactivated"
		if !w.plain {
			words = "Job " + p.OwnerReferences[0].Name + "; Workload " + name
		}
		k.goesAs(t, w, &p, reason.Suspended, says(words+": The workload is deactivated"))
	}
}

// Each has a limit of its own. They run beside each other, since this takes its time.
func (k *kueueCluster) takeTooLong(t *testing.T) {
	limit := map[string]string{
		"kueue.x-k8s.io/max-exec-time-seconds": strconv.Itoa(int(podsReady.Seconds()))}
	work, pods := k.work(), map[string][]corev1.Pod{}
	for _, w := range work {
		ns := k.queue(t, "2")
		w.start(t, ns, "low", limit)
		pods[w.what] = k.run(t, ns, 2)
	}
	for _, w := range work {
		words := "The workload is deactivated due to exceeding the maximum execution time"
		if !w.plain {
			words = "Workload " + k.workload(t, pods[w.what][0].Namespace, "victim").GetName() +
				": " + words
		}
		for _, p := range pods[w.what] {
			k.goesAs(t, w, &p, reason.DeadlineExceeded, says(words))
		}
	}
}

// The pod finds no node, and Kueue gives its place to others.
func (k *kueueCluster) isNotReady(t *testing.T) {
	ns := k.queue(t, "1")
	k.submit(t, ns, "etl", "low", func(j *batchv1.Job) {
		j.Spec.Template = queued(func(p *corev1.PodTemplateSpec) {
			p.Spec.NodeSelector = map[string]string{"example.com/nowhere": "true"}
		})
	})
	var pod string
	k.eventually(t, "the pod waits", func(context.Context) (bool, error) {
		pods := k.podsIn(t, ns)
		if len(pods) == 1 {
			pod = pods[0].Name
		}
		return pod != "", nil
	})
	w := k.workload(t, ns, "etl").GetName()
	k.goes(t, ns, pod, reason.Evicted, kubeSystem+"job-controller", says("Workload "+w+
		", PodsReadyTimeout: Exceeded the PodsReady timeout "+ns+"/"+w))
}

// An administrator stops the queue, and what runs in it.
func (k *kueueCluster) stopsTheQueue(t *testing.T) {
	ns := k.queue(t, "1")
	k.submit(t, ns, "etl", "low")
	pod := k.run(t, ns, 1)[0].Name
	w := k.workload(t, ns, "etl").GetName()
	if _, err := k.objects.Resource(kueues("clusterqueues")).Patch(t.Context(), ns,
		types.MergePatchType, []byte(`{"spec":{"stopPolicy":"HoldAndDrain"}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	k.goes(t, ns, pod, reason.Evicted, kubeSystem+"job-controller",
		says("Workload "+w+", ClusterQueueStopped: The ClusterQueue is stopped"))
}

// A person deletes the Workload. Kueue suspends the Job, lets the Workload go, and makes another:
// what the Job's own state says is all that is certain.
func (k *kueueCluster) deletesTheWorkload(t *testing.T) {
	ns := k.queue(t, "1")
	k.submit(t, ns, "etl", "low")
	pod := k.run(t, ns, 1)[0].Name
	w := k.workload(t, ns, "etl").GetName()
	if err := k.objects.Resource(kueues("workloads")).Namespace(ns).Delete(t.Context(), w,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	k.eventuallyWithin(t, kueuePatience, "pod "+pod+" goes",
		func(context.Context) (bool, error) {
			_, saw := k.witness.Saw(reason.Pod, ns+"/"+pod)
			return saw, nil
		})
	d := k.leaves(t, reason.Pod, ns+"/"+pod, reason.Reason{})
	if d.Reason.Code != reason.Suspended {
		t.Errorf("the pod left with %+v, want the code %s", d.Reason, reason.Suspended)
	}
}

// Kueue places the pods on the two nodes of a rack. One of them is lost, and there is no other.
func (k *kueueCluster) losesANode(t *testing.T, w kueueWork) {
	const rack = "example.com/rack"
	name := unique("rack")
	var nodes []string
	for range 2 {
		n, err := k.AddNode(t.Context(), sandbox.NodeSpec{Name: unique("racked"), CPU: "1",
			Labels: map[string]string{rack: name}})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n.Name)
	}
	k.make(t, kueues("topologies"), object("kueue.x-k8s.io/v1beta2", "Topology", "", name,
		map[string]any{"levels": []any{map[string]any{"nodeLabel": rack},
			map[string]any{"nodeLabel": corev1.LabelHostname}}}))
	k.make(t, kueues("resourceflavors"), object("kueue.x-k8s.io/v1beta2", "ResourceFlavor", "",
		name, map[string]any{"topologyName": name, "nodeLabels": map[string]any{rack: name}}))
	ns := k.queue(t, "2", func(spec map[string]any) {
		spec["resourceGroups"] = []any{map[string]any{
			"coveredResources": []any{"cpu"},
			"flavors": []any{map[string]any{"name": name,
				"resources": []any{map[string]any{"name": "cpu", "nominalQuota": "2"}}}},
		}}
	})
	w.start(t, ns, "low", nil, func(p *corev1.PodTemplateSpec) {
		p.Annotations = map[string]string{"kueue.x-k8s.io/podset-required-topology": rack}
	})
	pods := k.run(t, ns, 2)
	words := "WorkloadEvictedDueToNodeFailures"
	if !w.plain {
		words = "Workload " + k.workload(t, ns, "victim").GetName() + ", NodeFailures"
	}
	if err := k.TakeInstanceAway(nodes[0]); err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		if p.Spec.NodeName == nodes[1] {
			k.goesAs(t, w, &p, reason.Evicted, says(words+": Workload was evicted as there was no "+
				"replacement for unhealthy node(s): "+nodes[0]))
			continue
		}
		k.wentWithItsNode(t, w, &p)
	}
}

// wentWithItsNode checks that the pod goes of its node's end, with its node or by Kueue.
func (k *kueueCluster) wentWithItsNode(t *testing.T, w kueueWork, p *corev1.Pod) {
	t.Helper()
	if !w.plain {
		if d := k.leaves(t, reason.Pod, p.Namespace+"/"+p.Name, reason.Reason{}); d.Reason.Code !=
			reason.CloudInstanceGone {
			t.Errorf("the pod on the node left with %+v, want the code %s", d.Reason,
				reason.CloudInstanceGone)
		}
		return
	}
	if got := k.told(t, p.Namespace, p.Name); got.Code != reason.CloudInstanceGone {
		t.Errorf("the pod on the node goes with %+v, want the code %s", got,
			reason.CloudInstanceGone)
	}
}

// ticketSignals are the configuration for a queue that Epitaph does not know.
func ticketSignals() []reason.OwnerSignal {
	return []reason.OwnerSignal{{
		Of: reason.Decider{Group: "queue.example.com", Kind: "Ticket", Resource: "tickets",
			Labelled: "queue.example.com/job-uid"},
		Condition: reason.MustPattern("Revoked"), Reasons: []reason.Pattern{
			reason.MustPattern("Outbid")},
		Code: reason.Preempted, Detail: "{object}: {message}",
	}}
}

// Another queue than Kueue, which is known from the configuration alone, suspends a Job.
func (k *kueueCluster) isOutbid(t *testing.T) {
	ticket, ns := kindOf("queue.example.com", "tickets"), k.namespace(t)
	job, err := k.client.BatchV1().Jobs(ns).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "etl"}, Spec: batchv1.JobSpec{Template: queued()},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := k.run(t, ns, 1)[0].Name
	bid := object(ticket.GroupVersion().String(), ticket.Kind, ns, "bid-7", nil)
	bid.SetLabels(map[string]string{"queue.example.com/job-uid": string(job.UID)})
	bid.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Revoked",
		"status": "True", "reason": "Outbid", "message": "carol offered more"}}}
	k.make(t, ticket.GroupVersion().WithResource(ticket.resource), bid)
	if _, err := k.as(t, runner).BatchV1().Jobs(ns).Patch(t.Context(), job.Name,
		types.MergePatchType, []byte(`{"spec":{"suspend":true}}`),
		metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	k.goes(t, ns, pod, reason.Preempted, kubeSystem+"job-controller",
		says("Ticket bid-7: carol offered more"))
}

// isTold waits until a pod that is still there terminates, and compares what it goes of.
func (k *kueueCluster) isTold(t *testing.T, ns, pod string, code reason.Code, by string,
	detail func() string) {
	t.Helper()
	got := k.told(t, ns, pod)
	if want := reason.New(reason.Pod, code, detail(), by); got != want {
		t.Errorf("pod %s goes with\n  %+v, want\n  %+v", pod, got, want)
	}
}

// told waits until a pod that is still there terminates, and returns what it goes of.
func (k *kueueCluster) told(t *testing.T, ns, pod string) (got reason.Reason) {
	t.Helper()
	k.eventuallyWithin(t, kueuePatience, "pod "+pod+" is told why it goes",
		func(ctx context.Context) (bool, error) {
			is, err := k.client.CoreV1().Pods(ns).Get(ctx, pod, metav1.GetOptions{})
			if err != nil || is.DeletionTimestamp == nil {
				return false, err
			}
			got, err = keys.Pod.Read(is.Annotations)
			return err == nil, nil
		})
	return got
}

// Without the right to list Workloads, no more is known than the Job tells, and the log says so.
func (k *kueueCluster) mayNotReadWorkloads(t *testing.T) {
	k.withdraw(t, theOwnersRole, withdrawal{resource: "workloads", group: "kueue.x-k8s.io",
		verb: "list"})
	ns := k.queue(t, "1")
	k.submit(t, ns, "victim", "low")
	pod := k.run(t, ns, 1)[0].Name
	k.submit(t, ns, "urgent", "high")
	k.goes(t, ns, pod, reason.Suspended, kubeSystem+"job-controller", says("Job victim"))
	if says := `cannot list resource "workloads"`; !strings.Contains(
		strings.ReplaceAll(logged(t, k.cluster), `\`, ""), says) {
		t.Errorf("the log does not tell: %s", says)
	}
}
