package reports

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
)

// A faulty API has nothing. Its first answer to each kind of question is a panic.
type faulty struct {
	client.WithWatch
	gets, lists, watches atomic.Int32
}

func (f *faulty) Watch(context.Context, client.ObjectList,
	...client.ListOption) (watch.Interface, error) {
	f.watches.Add(1)
	return watch.NewFake(), errors.New("not now")
}

func (f *faulty) Get(_ context.Context, key client.ObjectKey, _ client.Object,
	_ ...client.GetOption) error {
	if f.gets.Add(1) == 1 {
		panic("a report like no other")
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "reports"}, key.Name)
}

func (f *faulty) List(context.Context, client.ObjectList, ...client.ListOption) error {
	if f.lists.Add(1) == 1 {
		panic("a finding like no other")
	}
	return nil
}

// A report over which the worker panics, while reading or making it, is checked again; the process
// goes on.
func TestWorkersSurviveAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, registry := &faulty{}, prometheus.NewRegistry()
		r, err := New(Options{Config: config.Default().Audit.Reports, API: api,
			Clock: clock.RealClock{}, Registerer: registry, Log: logr.Discard()})
		if err != nil {
			t.Fatal(err)
		}
		r.dirty = workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r.work(ctx)
		}()
		r.dirty.Add("shop")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := testutil.ToFloat64(r.metric.WithLabelValues(string(unchanged))); n != 1 {
			t.Errorf("the report was brought up to date %v times, want once", n)
		}
		if n := testutil.ToFloat64(r.metric.WithLabelValues(string(failed))); n != 2 {
			t.Errorf("%v looks failed, want the two that panicked", n)
		}
		stop()
		r.dirty.ShutDown()
		<-ended
		all, err := testutil.GatherAndFormat(registry, expfmt.TypeTextPlain, guard.Metric)
		if want := `epitaph_worker_panics_total{worker="reports"} 2`; err != nil ||
			!strings.Contains(string(all), want) {
			t.Errorf("counted (%v), want %s:\n%s", err, want, all)
		}
	})
}

// A panic while all findings are listed is retried.
func TestWatchSurvivesAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, registry := &faulty{}, prometheus.NewRegistry()
		r, err := New(Options{Config: config.Default().Audit.Reports, API: api,
			Clock: clock.RealClock{}, Registerer: registry, Log: logr.Discard()})
		if err != nil {
			t.Fatal(err)
		}
		r.dirty = workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](firstRetry, lastRetry))
		defer r.dirty.ShutDown()
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		r.followPods(ctx)
		if n := api.watches.Load(); n == 0 {
			t.Error("the findings are not watched")
		}
	})
}
