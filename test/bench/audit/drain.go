package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/bench"
)

const (
	// maxEventWrites is what a drain of thousands of pods may write of Events.
	maxEventWrites = 200
	// drainedNodes and drainedJobs are what the drained pods are spread over.
	drainedNodes, drainedJobs = 50, 6
	// quiet is how long after the last pod writes of Events are counted: those that wait are
	// written within a minute, later ones repeat a count.
	quiet = 90 * time.Second
)

// drain deletes pods that are drained, but for those of one node that panics and one that breaks,
// and counts what the API server was asked to write of Events.
func drain(ctx context.Context, c *bench.Cluster, out io.Writer, pods, rate int) error {
	if err := createDrained(ctx, c, pods); err != nil {
		return err
	}
	// What was deleted before is not counted.
	if err := eventsRest(ctx, c); err != nil {
		return err
	}
	before, err := c.Writes(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := deleteDrained(ctx, c, pods, rate); err != nil {
		return err
	}
	took := time.Since(began)
	recorded, err := recordedOf(ctx, c, before["podobituaries"], pods)
	if err != nil {
		return err
	}
	select {
	case <-time.After(quiet):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := c.Writes(ctx)
	if err != nil {
		return err
	}
	wrote := after["events"] - before["events"]
	told, err := causesTold(ctx, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d pods of %d Jobs drained from %d nodes in %.0f s: %.0f records, %.0f writes "+
		"of Events, %d causes told\n", pods, drainedJobs, drainedNodes, took.Seconds(), recorded,
		wrote, told)
	bench.Result(out, "audit_drain_pods", float64(pods), "pods")
	bench.Result(out, "audit_drain_event_writes", wrote, "writes")
	bench.Result(out, "audit_drain_causes_told", float64(told), "causes")
	bench.Result(out, "audit_drain_lost", float64(pods)-recorded, "pods")
	if wrote > maxEventWrites || told != len(causes) || recorded < float64(pods) {
		return fmt.Errorf("%.0f writes of Events, at most %d wanted, %d of %d causes told, and "+
			"%.0f of %d pods recorded", wrote, maxEventWrites, told, len(causes), recorded, pods)
	}
	return nil
}

// causes are those of the drained pods: the pods of the first node die of the first, those of the
// second of the second, all others of the last.
var causes = []reason.Code{reason.KernelPanic, reason.HardwareFailure, reason.NodeDrained}

func causeOf(n int) reason.Code { return causes[min(n%drainedNodes, len(causes)-1)] }

func drainedName(n int) string { return fmt.Sprintf("drained-%d", n) }

func createDrained(ctx context.Context, c *bench.Cluster, pods int) error {
	spec := corev1.PodSpec{
		AutomountServiceAccountToken: ptr.To(false), RestartPolicy: corev1.RestartPolicyNever,
		Containers: []corev1.Container{{Name: "main", Image: image}},
	}
	jobs := make([]*batchv1.Job, drainedJobs)
	for n := range jobs {
		job, err := c.Client.BatchV1().Jobs(bench.Namespace).Create(ctx, &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("drained-%d", n)},
			Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: spec}},
		}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("create a job that is drained: %w", err)
		}
		jobs[n] = job
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(requests)
	for n := range pods {
		group.Go(func() error {
			pod := corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Name: drainedName(n),
					Annotations: reason.DefaultKeys().Pod.Annotations(reason.New(reason.Pod,
						causeOf(n), fmt.Sprintf("worker-%d", n%drainedNodes), "bench")),
					OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(
						jobs[n%drainedJobs], batchv1.SchemeGroupVersion.WithKind("Job"))}},
				Spec: spec,
			}
			pod.Spec.NodeName = fmt.Sprintf("worker-%d", n%drainedNodes)
			_, err := c.Client.CoreV1().Pods(bench.Namespace).Create(ctx, &pod,
				metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("create pod %s: %w", pod.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func deleteDrained(ctx context.Context, c *bench.Cluster, pods, rate int) error {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(requests)
	for n := range pods {
		<-tick.C
		group.Go(func() error {
			// No kubelet would end them.
			err := c.Client.CoreV1().Pods(bench.Namespace).Delete(ctx, drainedName(n),
				metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
			if err != nil {
				return fmt.Errorf("delete pod %s: %w", drainedName(n), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// eventsRest waits until no Events are written for ten seconds.
func eventsRest(ctx context.Context, c *bench.Cluster) error {
	last, since := -1.0, time.Now()
	return wait.PollUntilContextTimeout(ctx, time.Second, 5*time.Minute, true,
		func(ctx context.Context) (bool, error) {
			writes, err := c.Writes(ctx)
			if err != nil {
				return false, err
			}
			if writes["events"] != last {
				last, since = writes["events"], time.Now()
			}
			return time.Since(since) >= 10*time.Second, nil
		})
}

// recordedOf waits until so many pods are recorded, and returns how many are.
func recordedOf(ctx context.Context, c *bench.Cluster, before float64,
	pods int) (recorded float64, err error) {
	// That some never come is what is measured, and no error of the measurement.
	_ = wait.PollUntilContextTimeout(ctx, time.Second, 5*time.Minute, true,
		func(ctx context.Context) (bool, error) {
			writes, err := c.Writes(ctx)
			recorded = writes["podobituaries"] - before
			return err == nil && recorded >= float64(pods), err
		})
	return recorded, ctx.Err()
}

// causesTold is of how many causes the Events of the drained Jobs tell.
func causesTold(ctx context.Context, c *bench.Cluster) (int, error) {
	events, err := c.Client.CoreV1().Events(bench.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "involvedObject.kind=Job"})
	if err != nil {
		return 0, fmt.Errorf("list the Events of the Jobs: %w", err)
	}
	found := 0
	for _, code := range causes {
		sentence := string(reason.New(reason.Pod, code, "", "").Text)
		begin, _, _ := strings.Cut(sentence, " (")
		if slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return strings.Contains(e.Message, strings.TrimRight(begin, ".!"))
		}) {
			found++
		}
	}
	return found, nil
}
