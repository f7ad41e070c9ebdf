package recorder

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

// removed is a pod that was deleted with a reason.
func removed(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name), ResourceVersion: "7",
		Annotations: reason.DefaultKeys().Pod.Annotations(reason.Reason{
			Code: reason.UserRequest, Text: "frees the licence", By: "alice"}),
	}}
}

// A panicking API panics where creates does, which is called for each obituary.
type panicking struct {
	mu      sync.Mutex
	creates func(*v1alpha1.PodObituary)
	written []string
	events  chan watch.Event
}

func (p *panicking) client(t *testing.T) client.WithWatch {
	t.Helper()
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(known); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(known).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(_ context.Context, _ client.WithWatch, o client.Object,
			_ ...client.CreateOption) error {
			if record, ok := o.(*v1alpha1.PodObituary); ok {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.creates(record)
				p.written = append(p.written, record.Spec.PodName)
			}
			return nil
		},
		Watch: func(context.Context, client.WithWatch, client.ObjectList,
			...client.ListOption) (watch.Interface, error) {
			return watch.NewProxyWatcher(p.events), nil
		},
	}).Build()
}

// recorderOf is one with a registry of its own.
func recorderOf(t *testing.T, api client.WithWatch) (*Recorder, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	c := config.Default().Audit
	c.Events = false
	r, err := New(Options{Config: c, Inferrer: reason.Inferrer{Keys: reason.DefaultKeys()},
		Cache: api, API: api, Grown: func(string) {}, Clock: clock.RealClock{},
		Registerer: registry, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return r, registry
}

func counted(t *testing.T, registry *prometheus.Registry, want string) {
	t.Helper()
	all, err := testutil.GatherAndFormat(registry, expfmt.TypeTextPlain, guard.Metric)
	if err != nil || !strings.Contains(string(all), want) {
		t.Errorf("counted (%v), want %s:\n%s", err, want, all)
	}
}

// A panic over an obituary is tried again; one that always comes costs that obituary, but neither
// the process nor the obituaries of others.
func TestWorkersSurviveAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &panicking{}
		seen := map[string]int{}
		api.creates = func(o *v1alpha1.PodObituary) {
			seen[o.Spec.PodName]++
			if o.Spec.PodName == "poison" || o.Spec.PodName == "unlucky" &&
				seen["unlucky"] == 1 {
				panic("a pod like no other")
			}
		}
		r, registry := recorderOf(t, api.client(t))
		r.progress.reset("1")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.work(ctx)
		}()
		for n, name := range []string{"unlucky", "poison", "other"} {
			revision := string(rune('2' + n))
			r.enqueue(ctx, departure{pod: removed(name), left: r.Clock.Now(), revision: revision,
				ticket: r.progress.begin(revision)})
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(api.written, " "); got != "unlucky other" && got != "other unlucky" {
			t.Errorf("written: %s", got)
		}
		if at := r.progress.complete(); at != "4" {
			t.Errorf("a successor would begin after %s: the poisoned pod holds up all others", at)
		}
		if n := testutil.ToFloat64(r.metrics.obituaries.WithLabelValues("panicked")); n != 1 {
			t.Errorf("%v obituaries are counted as panicked, want 1", n)
		}
		counted(t, registry, `epitaph_worker_panics_total{worker="recorder"} 6`)
		stop()
		<-ended
	})
}

// A broken clock panics when it is read the first time.
type broken struct {
	clock.WithTicker
	asked bool
}

func (b *broken) Now() time.Time {
	if !b.asked {
		b.asked = true
		panic("a moment like no other")
	}
	return b.WithTicker.Now()
}

// A watch that panics over an event goes on with the next one.
func TestWatchSurvivesAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api := &panicking{events: make(chan watch.Event)}
		r, registry := recorderOf(t, api.client(t))
		r.Clock = &broken{WithTicker: r.Clock}
		r.progress.reset("1")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.follow(ctx, "1")
		}()
		poison, fine := removed("poison"), removed("fine")
		poison.ResourceVersion, fine.ResourceVersion = "2", "3"
		api.events <- watch.Event{Type: watch.Deleted, Object: poison}
		api.events <- watch.Event{Type: watch.Deleted, Object: fine}
		synctest.Wait()
		if n := len(r.gone); n != 1 {
			t.Errorf("%d pods wait for their obituary, want the one that is fine", n)
		}
		if n := testutil.ToFloat64(r.metrics.obituaries.WithLabelValues("panicked")); n != 1 {
			t.Errorf("%v obituaries are counted as panicked, want 1", n)
		}
		counted(t, registry, `epitaph_worker_panics_total{worker="recorder"} 1`)
		// An object that is no pod ends the watch, which is resumed.
		api.events <- watch.Event{Type: watch.Deleted, Object: (*corev1.Pod)(nil)}
		fine.ResourceVersion = "4"
		api.events <- watch.Event{Type: watch.Deleted, Object: fine}
		synctest.Wait()
		if n := len(r.gone); n != 2 {
			t.Errorf("%d pods wait for their obituary after the watch was resumed, want 2", n)
		}
		stop()
		<-ended
	})
}
