package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// An ending is a row of the verdicts of docs/batch-users.md: how a pod comes to its end, as its
// kubelet tells it.
type ending struct {
	want story.Basis
	// pod changes the pod, owner makes it one of a Job's.
	pod   func(*corev1.Pod)
	owner func(*batchv1.Job)
	// before is what its kubelet says before it is told to stop, after what it says at the end;
	// without it, it says no more.
	before, after func(at time.Time) corev1.PodStatus
	// evicted is set where a program evicts it; else a person deletes it, and says why.
	evicted bool
	// silent is set where its node has fallen silent.
	silent bool
	// another is set where its Job completes with another pod.
	another bool
}

// container is the state of the container of a pod, which has run for an hour where it ran at all.
func container(name string, state corev1.ContainerState) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, Image: "registry.example/work:1", State: state}
}

func exited(code int32, why string, at time.Time) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: why, StartedAt: metav1.NewTime(at.Add(-time.Hour)),
		FinishedAt: metav1.NewTime(at),
	}}
}

func waiting(why string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: why}}
}

// in is the status of a pod in a phase, with its containers. What has not begun is Running, too:
// kwok runs what is Pending.
func in(phase corev1.PodPhase, containers ...corev1.ContainerStatus) corev1.PodStatus {
	return corev1.PodStatus{Phase: phase, ContainerStatuses: containers}
}

// long is well beyond what clocks may differ by: what happened so long before a pod was told to
// stop happened before.
const long = 10 * time.Minute

// endedBefore is a pod whose container ended long before, and that its kubelet then called
// finished.
func endedBefore(code int32, why string) func(time.Time) corev1.PodStatus {
	phase := corev1.PodFailed
	if code == 0 {
		phase = corev1.PodSucceeded
	}
	return func(at time.Time) corev1.PodStatus {
		return in(phase, container("main", exited(code, why, at.Add(-long))))
	}
}

// stops is a pod whose container ends a second after it was told to.
func stops(code int32) func(time.Time) corev1.PodStatus {
	s := endedBefore(code, "Completed")
	return func(at time.Time) corev1.PodStatus { return s(at.Add(time.Second + long)) }
}

// failedFor is a pod that its kubelet has failed.
func failedFor(why, message string, containers ...corev1.ContainerStatus) corev1.PodStatus {
	s := in(corev1.PodFailed, containers...)
	s.Reason, s.Message = why, message
	return s
}

// disruptions has a Job say what is to become of pods that are disrupted.
func disruptions(action batchv1.PodFailurePolicyAction) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		j.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action: action,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
		}}}
	}
}

// waitsForTheEnd has a Job count a pod that was told to stop only when that has ended: else it has
// failed at once.
func waitsForTheEnd(j *batchv1.Job) { j.Spec.PodReplacementPolicy = ptr.To(batchv1.Failed) }

func secondContainer(p *corev1.Pod) {
	second := p.Spec.Containers[0]
	second.Name = "second"
	p.Spec.Containers = append(p.Spec.Containers, second)
}

func endings() map[string]ending {
	rejected := func(ago time.Duration) func(time.Time) corev1.PodStatus {
		return func(at time.Time) corev1.PodStatus {
			s := failedFor("OutOfcpu", "Pod was rejected: Node didn't have enough resource: cpu")
			s.StartTime = ptr.To(metav1.NewTime(at.Add(-ago)))
			return s
		}
	}
	pulling := func(time.Time) corev1.PodStatus {
		return in(corev1.PodRunning, container("main", waiting("ContainerCreating")))
	}
	return map[string]ending{
		"cut off":          {want: story.CutOff},
		"told to stop":     {want: story.ToldToStop, after: stops(0)},
		"told, and killed": {want: story.ToldToStop, after: stops(137)},
		"finished":         {want: story.Finished, before: endedBefore(0, "Completed")},
		"failed by itself": {want: story.FailedByItself, before: endedBefore(3, "Error")},
		"out of memory":    {want: story.OutOfMemory, before: endedBefore(137, "OOMKilled")},
		"killed":           {want: story.Killed, before: endedBefore(143, "Error")},
		"never started":    {want: story.NeverStarted, before: pulling},
		"of a Workflow":    {want: story.OthersMayHave, before: pulling, pod: ofAWorkflow},
		"refused at once":  {want: story.RefusedAtOnce, evicted: true, before: rejected(0)},
		"refused later":    {want: story.RefusedLater, evicted: true, before: rejected(long)},
		"may still run":    {want: story.MayStillRun, evicted: true, silent: true},
		"may have started": {want: story.MayHaveStarted, evicted: true, silent: true,
			before: pulling},
		"author says again": {want: story.AuthorSaysAgain, evicted: true,
			owner: disruptions(batchv1.PodFailurePolicyActionIgnore), after: stops(143)},
		"author says no": {want: story.AuthorSaysNo, evicted: true,
			owner: disruptions(batchv1.PodFailurePolicyActionFailJob), after: stops(143)},
		"counted, unproven": {want: story.CountedUnproven, evicted: true, owner: waitsForTheEnd,
			after: stops(0)},
		"its Job completed": {want: story.JobCompleted, evicted: true, owner: func(*batchv1.Job) {},
			after: stops(143), another: true},
		"nothing was said": {want: story.NotReported,
			before: func(time.Time) corev1.PodStatus { return in(corev1.PodRunning) }},
		"over its own limit": {want: story.OverItsLimit, evicted: true,
			before: func(at time.Time) corev1.PodStatus {
				return failedFor("Evicted",
					`Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". `,
					container("main", exited(137, "Error", at)))
			}},
		"over its deadline": {want: story.OverDeadline, evicted: true,
			before: func(at time.Time) corev1.PodStatus {
				return failedFor("DeadlineExceeded",
					"Pod was active on the node longer than the specified deadline",
					container("main", exited(137, "Error", at)))
			}},
		"only prepared": {
			want: story.OnlyPrepared,
			pod: func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{
					{Name: "prepare", Image: "registry.example/work:1"}}
			},
			before: func(at time.Time) corev1.PodStatus {
				s := in(corev1.PodRunning, container("main", waiting("PodInitializing")))
				s.InitContainerStatuses = []corev1.ContainerStatus{
					container("prepare", exited(0, "Completed", at.Add(-long)))}
				return s
			},
		},
		"partly run": {want: story.PartlyRun, pod: secondContainer,
			before: func(at time.Time) corev1.PodStatus {
				return in(corev1.PodRunning, container("main",
					exited(0, "Completed", at.Add(-long))),
					container("second", waiting("ContainerCreating")))
			}},
		"between runs": {want: story.BetweenRuns, before: func(at time.Time) corev1.PodStatus {
			s := container("main", waiting("CrashLoopBackOff"))
			s.LastTerminationState = exited(0, "Completed", at.Add(-long))
			return in(corev1.PodRunning, s)
		}},
	}
}

// What the verdicts of docs/batch-users.md rest on does not depend on how long a pod takes to end:
// each row of its pods, of such that take 0, 30 and 300 seconds. Only time makes the API server
// move a deletion timestamp, so this lasts somewhat longer than the longest. The other tests run
// meanwhile: this one stands among the first, which begin first.
func TestVerdictsHoldHoweverLongPodsTakeToEnd(t *testing.T) {
	t.Parallel()
	// All are told at about the same time. Parallel subtests would start when the last of all tests
	// has started, and the longest would keep everybody waiting.
	durations := []time.Duration{0, 30 * time.Second, 300 * time.Second}
	hours, pods := map[time.Duration]hour{}, map[time.Duration][]*dying{}
	for _, takes := range durations {
		h := hour{cluster: shared, node: shared.node(t).Name, silent: shared.node(t).Name,
			namespace: shared.namespace(t)}
		hours[takes] = h
		for name, e := range endings() {
			pods[takes] = append(pods[takes], h.admit(t, name, e))
		}
		h.fallsSilent(t)
		for _, d := range pods[takes] {
			h.tells(t, d)
		}
	}
	for _, takes := range durations {
		h := hours[takes]
		for _, d := range pods[takes] {
			h.eventuallyWithin(t, takes+patience, "time passes",
				func(context.Context) (bool, error) { return time.Since(d.told) >= takes, nil })
			h.ends(t, d)
		}
		for _, d := range pods[takes] {
			t.Run(takes.String()+"/"+d.name, func(t *testing.T) { h.judged(t, d) })
		}
	}
}

// An hour is where the pods of one duration come to their end.
type hour struct {
	*cluster
	node, silent, namespace string
}

// A dying is a pod of a row.
type dying struct {
	ending
	name, namespace, pod, node string
	told                       time.Time
}

const held = "example.com/held"

// admit makes the pod of a row, which goes on until its end is told.
func (h hour) admit(t *testing.T, name string, e ending) *dying {
	t.Helper()
	d := &dying{ending: e, name: name, namespace: h.namespace, node: h.node,
		pod: strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(name))}
	if e.silent {
		d.node = h.silent
	}
	lasts := func(m *metav1.ObjectMeta, s *corev1.PodSpec) {
		metav1.SetMetaDataAnnotation(m, "sandbox.epitaph/shutdown-seconds", "3600")
		s.TerminationGracePeriodSeconds = ptr.To(int64(3600))
	}
	if e.owner != nil {
		d.namespace = h.cluster.namespace(t)
		d.pod = h.job(t, d.namespace, d.node, func(j *batchv1.Job) {
			lasts(&j.Spec.Template.ObjectMeta, &j.Spec.Template.Spec)
			e.owner(j)
		}).Name
		return d
	}
	h.pod(t, d.namespace, d.node, d.pod, func(p *corev1.Pod) {
		lasts(&p.ObjectMeta, &p.Spec)
		p.Finalizers = []string{held}
		if e.pod != nil {
			e.pod(p)
		}
	})
	if e.before != nil {
		h.reports(t, d, e.before(time.Now()))
	}
	return d
}

// reports writes what the kubelet of the pod says of it. What it does not say is not there.
func (h hour) reports(t *testing.T, d *dying, s corev1.PodStatus) {
	t.Helper()
	status := map[string]any{
		"phase": s.Phase, "reason": s.Reason, "message": s.Message,
		"containerStatuses":     s.ContainerStatuses,
		"initContainerStatuses": s.InitContainerStatuses, "podIP": nil, "podIPs": nil,
	}
	if s.StartTime != nil {
		status["startTime"] = s.StartTime
	}
	patch := encode(t, map[string]any{"status": status})
	options := metav1.PatchOptions{FieldManager: "kubelet"}
	if _, err := h.client.CoreV1().Pods(d.namespace).Patch(t.Context(), d.pod, types.MergePatchType,
		patch, options, "status"); err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
}

// fallsSilent has the one node fall silent, and waits until that is known.
func (h hour) fallsSilent(t *testing.T) {
	t.Helper()
	h.dies(t, h.silent)
	h.eventually(t, "the node is not heard of", func(ctx context.Context) (bool, error) {
		node, err := h.client.CoreV1().Nodes().Get(ctx, h.silent, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status == corev1.ConditionUnknown, nil
			}
		}
		return false, nil
	})
}

// tells has the pod told to stop.
func (h hour) tells(t *testing.T, d *dying) {
	t.Helper()
	h.wantLiving(t, d, story.StillThere)
	if d.evicted {
		if err := evict(t, h.as(t, runner), d.namespace, d.pod); err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
	} else {
		h.annotate(t, d.namespace, d.pod, "the experiment is over")
		h.remove(t, h.as(t, "alice"), d.namespace, d.pod)
	}
	p := h.wantLiving(t, d, story.BeingDeleted)
	d.told = p.DeletionTimestamp.Add(-time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
}

// wantLiving checks the verdict on a pod that is there, unless it has ended.
func (h hour) wantLiving(t *testing.T, d *dying, want story.Basis) *corev1.Pod {
	t.Helper()
	p, err := h.client.CoreV1().Pods(d.namespace).Get(t.Context(), d.pod, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	if v := story.OfPod(story.Facts{Pod: lookup.Living(p, keys.Pod), Here: true}).Verdict; !ended &&
		v.Basis != want {
		t.Errorf("%s: the verdict while it is there is %+v, want %s", d.name, v, want)
	}
	return p
}

// ends has the pod's kubelet tell the end, and take the pod out of the API.
func (h hour) ends(t *testing.T, d *dying) {
	t.Helper()
	if d.after != nil {
		h.reports(t, d, d.after(d.told))
	}
	// What had ended before is gone with its finalizer. Of the others, kwok would say how they end
	// if the last DELETE left them there.
	if d.owner == nil {
		patch := []byte(`{"metadata":{"finalizers":null}}`)
		_, err := h.client.CoreV1().Pods(d.namespace).Patch(t.Context(), d.pod,
			types.MergePatchType, patch, metav1.PatchOptions{})
		if client.IgnoreNotFound(err) != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
	}
	who := h.as(t, "system:node:"+d.node, "system:nodes")
	if d.silent { // no kubelet tells: somebody forces it off
		who = h.as(t, runner)
	}
	// The sandbox's own kubelet may have been faster.
	err := who.CoreV1().Pods(d.namespace).Delete(t.Context(), d.pod,
		metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
	if client.IgnoreNotFound(err) != nil {
		t.Fatalf("%s: %v", d.name, err)
	}
	if d.another {
		h.exit(t, h.running(t, d.namespace, 1, ""))
	}
}

// judged checks what is on record of the pod, and the verdict that it comes to with what is known
// beside it.
func (h hour) judged(t *testing.T, d *dying) {
	t.Helper()
	o := h.recorded(t, d.namespace, d.pod)
	if asked := o.Spec.DeletionRequested; asked == nil || !asked.Time.Equal(d.told) {
		t.Errorf("it was told to stop at %s, want %s", asked, d.told)
	}
	finder := lookup.Finder{Reader: h.typed(t, h.RESTConfig())}
	var v *story.Verdict
	err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true,
		func(ctx context.Context) (bool, error) {
			facts, err := finder.Facts(ctx, &o)
			if err != nil {
				return false, err
			}
			v = story.OfPod(facts).Verdict
			return v != nil && v.Basis == d.want, nil
		})
	if err != nil {
		t.Errorf("the verdict is %+v, want %s (%v); the record is %+v", v, d.want, err, o.Spec)
	}
}

// ofAWorkflow makes a pod that of a controller which Epitaph does not know.
func ofAWorkflow(p *corev1.Pod) {
	p.OwnerReferences = []metav1.OwnerReference{
		{APIVersion: "example.com/v1", Kind: "Workflow", Name: "nightly", UID: "of-a-workflow",
			Controller: ptr.To(true)}}
}
