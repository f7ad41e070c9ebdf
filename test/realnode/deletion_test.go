//go:build linux

package realnode_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/realnode/plan"
)

const (
	// late is how much later a pod leaves than its first container ends, veryLate is longer than
	// the clocks of a cluster may differ: from there on a verdict is wrong that takes the one for
	// the other.
	late     = 10 * time.Second
	veryLate = 75 * time.Second
)

// A last hour is how a pod is deleted, and how long it takes to go.
type lastHour struct {
	// args are the worker's, grace its grace period.
	args  []string
	grace int64
	// change changes the pod.
	change func(*corev1.Pod)
	// unmounts keeps a volume of the pod in use for as long after its containers have ended.
	unmounts time.Duration
	// says is why alice deletes it; "" is a program that says nothing.
	says string
	want reason.Reason
}

// program is a service account: a person would be asked why.
const program = "system:serviceaccount:ci:runner"

// What a record says of the end of a pod rests on when it was told to stop, and not on when its
// object went, which a real kubelet may delete long afterwards: as its volumes are unmounted, or
// with a shorter grace than was asked for.
func TestPodWasToldToStopWhenItWasDeleted(t *testing.T) {
	t.Parallel()
	mine := reason.Reason{Code: reason.UserRequest, Text: "the experiment is over", By: alice}
	for name, tc := range map[string]lastHour{
		"at-once": {args: []string{"-term-exit=0"}, grace: 30, says: string(mine.Text), want: mine},
		"volume": {
			args: []string{"-term-exit=0"}, grace: 2, unmounts: veryLate, says: string(mine.Text),
			want: mine,
		},
		"volume-long-grace": {
			args: []string{"-term-exit=0"}, grace: 600, unmounts: veryLate, says: string(mine.Text),
			want: mine,
		},
		"pre-stop": {
			args: []string{"-term-exit=0"}, grace: 600, says: string(mine.Text), want: mine,
			change: func(p *corev1.Pod) {
				p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{
					PreStop: &corev1.LifecycleHandler{
						Sleep: &corev1.SleepAction{Seconds: int64(veryLate.Seconds())}}}
			},
		},
		// The hook takes longer than the pod is given: its kubelet waits two seconds more, and
		// kills.
		"pre-stop-beyond-grace": {
			args: []string{"-term-after=1h"}, grace: 1, says: string(mine.Text), want: mine,
			change: func(p *corev1.Pod) {
				p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{
					PreStop: &corev1.LifecycleHandler{
						Exec: &corev1.ExecAction{
							Command: []string{realnode.WorkerPath, "-for=1h"}}}}
			},
		},
		"second-container": {
			args: []string{"-term-exit=0"}, grace: 600, says: string(mine.Text), want: mine,
			change: func(p *corev1.Pod) {
				second := *p.Spec.Containers[0].DeepCopy()
				second.Name, second.Args = "slow",
					[]string{"-term-after=" + late.String(), "-term-exit=0"}
				p.Spec.Containers = append(p.Spec.Containers, second)
			},
		},
		"killed": {args: []string{"-term-after=1h"}, grace: 1, says: string(mine.Text), want: mine},
		"volume-unexplained": {
			args: []string{"-term-exit=0"}, grace: 2, unmounts: late,
			want: reason.Reason{Code: reason.Unexplained,
				Text: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by " + program + ")", By: program},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shared.lastHour(t, "told-"+name, tc)
		})
	}
}

func (c *cluster) lastHour(t *testing.T, name string, tc lastHour) {
	t.Helper()
	pod := worker(name, tc.args...)
	pod.Spec.TerminationGracePeriodSeconds = ptr.To(tc.grace)
	if tc.change != nil {
		tc.change(pod)
	}
	pod = c.runs(t, pod)
	// The first second of a container is as long as a time stamp is precise.
	c.comes(t, name, "it has run for a while", func(p *corev1.Pod) bool {
		running := p.Status.ContainerStatuses[0].State.Running
		return running != nil && time.Since(running.StartedAt.Time) > 2*time.Second
	})
	var release func()
	if tc.unmounts > 0 {
		release = c.holdVolume(t, pod)
	}
	who := program
	if tc.says != "" {
		who = alice
		c.saysWhy(t, name, tc.says)
	}
	asked := time.Now()
	must(t, c.as(t, who).CoreV1().Pods(pod.Namespace).Delete(t.Context(), name,
		metav1.DeleteOptions{}))
	told := time.Now()
	if release != nil {
		ended := c.comes(t, name, "its containers have ended", allEnded)
		last := ended.Status.ContainerStatuses[0].State.Terminated.FinishedAt
		c.eventually(t, "some time has passed",
			func(context.Context) (bool, error) { return time.Since(last.Time) > tc.unmounts, nil })
		release()
	}
	d := c.leaves(t, name)
	if d.Reason != tc.want {
		t.Errorf("it left with\n  %+v, want\n  %+v", d.Reason, tc.want)
	}
	record := c.record(t, pod)
	requested := record.Spec.DeletionRequested
	if requested == nil || requested.Time.Before(asked.Add(-2*time.Second)) ||
		requested.After(told.Add(2*time.Second)) {
		t.Errorf("the record has the deletion requested at %v; it was between %v and %v", requested,
			asked.UTC(), told.UTC())
	}
	var answer struct {
		Verdict v1alpha1.Verdict
	}
	said := c.why(t, name, "--output=json")
	if err := json.Unmarshal([]byte(said), &answer); err != nil {
		t.Fatalf("read %q: %v", said, err)
	}
	want := v1alpha1.Verdict{Started: v1alpha1.StartedYes, MayStillRun: v1alpha1.No,
		Chargeable: v1alpha1.No, Retry: v1alpha1.RetryUnknown, Basis: "ToldToStop"}
	if answer.Verdict != want {
		t.Errorf("the verdict is %+v, want %+v:\n%s", answer.Verdict, want, c.why(t, name))
	}
}

// The first DELETE passes while Epitaph is away; of the last, its kubelet's, Epitaph is asked. The
// pod had not ended by itself.
func TestPodThatWasDeletedWhileEpitaphWasAway(t *testing.T) {
	c := shared
	pod := c.runs(t, worker("away", "-term-exit=0"))
	release := c.holdVolume(t, pod)
	c.Epitaph.Stop()
	err := c.as(t, program).CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name,
		metav1.DeleteOptions{})
	must(t, errors.Join(err, c.Epitaph.Start(t.Context())))
	c.comes(t, pod.Name, "its container has ended", allEnded)
	release()
	d := c.leaves(t, pod.Name)
	if d.Reason.Code == reason.AlreadyEnded {
		t.Errorf("it left with %+v, but it was told to stop", d.Reason)
	}
	c.record(t, pod)
}

func allEnded(p *corev1.Pod) bool {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Terminated == nil {
			return false
		}
	}
	return len(p.Status.ContainerStatuses) > 0
}

// holdVolume keeps a file of the pod's service account open, whose volume then is busy: its kubelet
// cannot unmount it, tries it again, and does not delete the pod before.
func (c *cluster) holdVolume(t *testing.T, pod *corev1.Pod) (release func()) {
	t.Helper()
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		file, err := c.node.Open(filepath.Join(plan.KubeletRoot, "pods", string(pod.UID),
			"volumes", "kubernetes.io~projected", v.Name, "token"))
		must(t, err)
		t.Cleanup(func() { _ = file.Close() })
		return func() { must(t, file.Close()) }
	}
	t.Fatalf("pod %s has no volume", pod.Name)
	return nil
}

// record is the pod's obituary.
func (c *cluster) record(t *testing.T, pod *corev1.Pod) (found v1alpha1.PodObituary) {
	t.Helper()
	c.eventually(t, "pod "+pod.Name+" is on record", func(ctx context.Context) (bool, error) {
		var all v1alpha1.PodObituaryList
		if err := c.objects.List(ctx, &all, client.InNamespace(pod.Namespace)); err != nil {
			return false, nil
		}
		for _, o := range all.Items {
			if o.Spec.PodUID == pod.UID && !o.Spec.Removed.IsZero() {
				found = o
				return true, nil
			}
		}
		return false, nil
	})
	return found
}
