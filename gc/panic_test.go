package gc

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A faulty cache has one pod. The first and the third read of it panic: the examination's, and the
// one of the work on the pod.
type faulty struct {
	cache.Cache
	pod   *corev1.Pod
	reads atomic.Int32
}

func (f *faulty) Get(_ context.Context, _ client.ObjectKey, into client.Object,
	_ ...client.GetOption) error {
	if n := f.reads.Add(1); n == 1 || n == 3 {
		panic("a pod like no other")
	}
	f.pod.DeepCopyInto(into.(*corev1.Pod))
	return nil
}

// A terminated channel gets the UIDs of the pods that are terminated.
type terminated chan types.UID

func (terminated) AnnotateUnchanged(context.Context, *corev1.Pod, reason.Reason) error { return nil }

func (t terminated) TerminatePod(_ context.Context, pod *corev1.Pod, _ reason.Reason) error {
	t <- pod.UID
	return nil
}

// A pod over which a worker panics is tried again; the process goes on.
func TestWorkersSurviveAPanic(t *testing.T) {
	t.Parallel()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u1",
		DeletionTimestamp: &metav1.Time{Time: time.Now()}, Finalizers: []string{"a/b"}}}
	done, registry := make(terminated, 1), prometheus.NewRegistry()
	c, err := New(Options{
		Config: config.Default().GC, Inferrer: inferrer, Cache: &faulty{pod: pod}, Terminator: done,
		Clock: clock.RealClock{}, Registerer: registry, Log: logr.Discard(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer c.turns.ShutDown()
	defer c.subjects.ShutDown()
	running.Go(func() { c.examineAll(t.Context()) })
	running.Go(func() { c.workAll(t.Context()) })
	c.subjects.Add(subject{pod: client.ObjectKeyFromObject(pod)})
	select {
	case uid := <-done:
		if uid != "u1" {
			t.Errorf("pod %s was terminated", uid)
		}
	case <-time.After(time.Minute):
		t.Error("the pod was not tried again")
	}
	counted, err := testutil.GatherAndFormat(registry, expfmt.TypeTextPlain,
		guard.Metric)
	if want := `epitaph_worker_panics_total{worker="gc"} 2`; err != nil ||
		!strings.Contains(string(counted), want) {
		t.Errorf("counted (%v), want %s:\n%s", err, want, counted)
	}
}
