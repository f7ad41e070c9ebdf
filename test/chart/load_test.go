//go:build linux

package chart

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	loaders = 4
	// pause of a loader after each delete: together they delete some forty pods a second.
	pause = 75 * time.Millisecond
	// maxShown bounds the failures that are kept.
	maxShown = 5
	// program deletes: nobody asks it for a reason, it is filled in.
	program = "system:serviceaccount:ci:runner"
)

// A load deletes pods, one after another, until it is stopped.
type load struct {
	cluster *cluster
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	names    []string // of the pods that were deleted
	failures []error
	failed   int
	slowest  time.Duration
}

var loads int

// startLoad returns when the first pod was deleted.
func (c *cluster) startLoad(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cluster: c, cancel: cancel}
	t.Cleanup(cancel)
	own := c.as(t, program)
	loads++
	for n := range loaders {
		prefix := fmt.Sprintf("load-%d-%d", loads, n)
		l.running.Go(func() { l.run(ctx, own, prefix) })
	}
	eventually(t, "the load has begun", func(context.Context) (bool,
		error) {
		return l.asked() >= loaders, nil
	})
	return l
}

func (l *load) run(ctx context.Context, client *kubernetes.Clientset, prefix string) {
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("%s-%d", prefix, n)
		if _, err := pods.Create(ctx, victim(name), metav1.CreateOptions{}); err != nil {
			l.note(ctx, "", 0, fmt.Errorf("create: %w", err))
			continue
		}
		began := time.Now()
		err := pods.Delete(ctx, name, metav1.DeleteOptions{})
		l.note(ctx, name, time.Since(began), err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// victim is a pod that nobody schedules: it leaves as soon as it is asked to.
func victim(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec: corev1.PodSpec{
			SchedulerName: "nobody", TerminationGracePeriodSeconds: ptr.To(int64(1)),
			Containers: []corev1.Container{{Name: "main", Image: "registry.example/work:1"}},
		},
	}
}

func (l *load) note(ctx context.Context, name string, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.names = append(l.names, name)
		l.slowest = max(l.slowest, took)
	case ctx.Err() == nil:
		l.failed++
		if len(l.failures) < maxShown {
			l.failures = append(l.failures, err)
		}
	}
}

// goesOn returns when a few more pods were asked to go, whatever came of it.
func goesOn(t *testing.T, l *load) {
	t.Helper()
	begun := l.asked()
	eventually(t, "the load goes on", func(context.Context) (bool,
		error) {
		return l.asked() > begun+loaders*20, nil
	})
}

func (l *load) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.names) + l.failed
}

// stop ends it, and returns how many were deleted and how many could not be.
func (l *load) stop() (deleted, failed int) {
	l.cancel()
	l.running.Wait()
	return len(l.names), l.failed
}

// stopUnharmed ends it, and wants every pod deleted and, where asked, with a reason.
func (l *load) stopUnharmed(t *testing.T, during string, reasoned bool) {
	t.Helper()
	deleted, failed := l.stop()
	fmt.Printf("  %s: %d deletes, %d failed, the slowest took %d ms\n", during, deleted, failed,
		l.slowest.Milliseconds())
	if failed > 0 {
		t.Errorf("%s, %d of %d deletes failed: %v", during, failed, deleted+failed, l.failures)
	}
	if !reasoned {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, name := range l.names {
		d, err := l.cluster.witness.Sees(ctx, reason.Pod, metav1.NamespaceDefault+"/"+name)
		must(t, err)
		if d.Reason.Code != reason.Unexplained || d.Reason.By != program {
			t.Fatalf("%s, pod %s left with %+v, want it filled in", during, name, d.Reason)
		}
	}
}
