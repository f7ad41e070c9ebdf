package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/test/bench"
)

// A timetable is when each pod was seen to leave, and when its obituary was seen.
type timetable struct {
	mu                 sync.Mutex
	departed, recorded map[types.UID]time.Time
}

func (t *timetable) note(in map[types.UID]time.Time, uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in[uid] = time.Now()
}

func (t *timetable) counts() (departed, recorded int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.departed), len(t.recorded)
}

// lags are how much later than a pod's end its obituary was seen, in order, and how many there are
// none for.
func (t *timetable) lags() (lags []time.Duration, lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for uid, left := range t.departed {
		if recorded, ok := t.recorded[uid]; ok {
			lags = append(lags, max(0, recorded.Sub(left)))
		} else {
			lost++
		}
	}
	slices.Sort(lags)
	return lags, lost
}

// follow fills the timetable from two watches.
func follow(ctx context.Context, c *bench.Cluster) (*timetable, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme,
		v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("register the API types: %w", err)
		}
	}
	api, err := client.NewWithWatch(c.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	t := &timetable{departed: map[types.UID]time.Time{}, recorded: map[types.UID]time.Time{}}
	now := &v1alpha1.PodObituaryList{}
	if err := api.List(ctx, now, client.InNamespace(bench.Namespace), client.Limit(1)); err != nil {
		return nil, fmt.Errorf("read the revision to watch from: %w", err)
	}
	from := now.ResourceVersion
	go sees(ctx, api, &corev1.PodList{}, from, watch.Deleted,
		func(o client.Object) { t.note(t.departed, o.GetUID()) })
	go sees(ctx, api, &v1alpha1.PodObituaryList{}, from, watch.Added, func(o client.Object) {
		t.note(t.recorded, o.(*v1alpha1.PodObituary).Spec.PodUID)
	})
	return t, nil
}

// sees shows every event of one type. A watch that the API server breaks off, as it does where
// somebody reads too slowly, is resumed where it was: what the benchmark did not see is not what
// was lost.
func sees(ctx context.Context, api client.WithWatch, list client.ObjectList, revision string,
	t watch.EventType, show func(client.Object)) {
	for ctx.Err() == nil {
		w, err := api.Watch(ctx, list, client.InNamespace(bench.Namespace),
			&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: revision}})
		if err != nil {
			continue
		}
		for e := range w.ResultChan() {
			o, ok := e.Object.(client.Object)
			if !ok {
				break
			}
			revision = o.GetResourceVersion()
			if e.Type == t {
				show(o)
			}
		}
		w.Stop()
	}
}

// A measurement is what a run found.
type measurement struct {
	pods, lost     int
	took           time.Duration
	p50, p99, most time.Duration
	writes         map[string]float64
	bytes          float64
	memory         bench.Megabytes
}

func measure(ctx context.Context, c *bench.Cluster, pods, rate int) (measurement, error) {
	t, err := follow(ctx, c)
	if err != nil {
		return measurement{}, err
	}
	before, err := c.Writes(ctx)
	if err != nil {
		return measurement{}, err
	}
	m := measurement{pods: pods, writes: map[string]float64{}}
	if m.took, err = deleteAll(ctx, c, pods, rate); err != nil {
		return m, err
	}
	// That some never come is what is measured, and no error of the measurement.
	_ = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, settle, true,
		func(context.Context) (bool, error) {
			departed, recorded := t.counts()
			return departed == pods && recorded == pods, nil
		})
	lags, lost := t.lags()
	if len(lags) == 0 || len(lags)+lost != pods {
		return m, fmt.Errorf("%d of %d pods were seen to leave", len(lags)+lost, pods)
	}
	m.lost, m.p50, m.p99, m.most = lost, lags[len(lags)/2], lags[len(lags)*99/100],
		lags[len(lags)-1]
	after, err := c.Writes(ctx)
	if err != nil {
		return m, err
	}
	for _, resource := range []string{"podobituaries", "events", "configmaps"} {
		m.writes[resource] = (after[resource] - before[resource]) / float64(pods)
	}
	if m.bytes, err = stored(ctx, c, min(pods-lost, 500)); err != nil {
		return m, err
	}
	m.memory, err = c.Memory()
	return m, err
}

// stored is the mean size of an obituary: custom resources are stored as the JSON that is served.
func stored(ctx context.Context, c *bench.Cluster, sample int) (float64, error) {
	path := fmt.Sprintf("/apis/%s/namespaces/%s/podobituaries", v1alpha1.GroupVersion,
		bench.Namespace)
	data, err := c.Client.RESTClient().Get().AbsPath(path).Param("limit",
		fmt.Sprint(sample)).DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read obituaries: %w", err)
	}
	return float64(len(data)) / float64(sample), nil
}

func (m measurement) report(out io.Writer) {
	fmt.Fprintf(out, "%d pods deleted in %.0f s (%.1f a second), %d of them without an obituary\n",
		m.pods, m.took.Seconds(), float64(m.pods)/m.took.Seconds(), m.lost)
	fmt.Fprintf(out,
		"an obituary is later than its pod's end by %s (half), %s (99%%), %s (at most)\n", m.p50,
		m.p99, m.most)
	sum := 0.0
	for _, resource := range []string{"podobituaries", "events", "configmaps"} {
		fmt.Fprintf(out, "writes a deletion: %-14s %.3f\n", resource, m.writes[resource])
		sum += m.writes[resource]
	}
	fmt.Fprintf(out, "memory: %.0f MB now, %.0f MB at most\n", m.memory.Now, m.memory.Peak)
	bench.Result(out, "audit_lag_p50_ms", float64(m.p50.Microseconds())/1000, "ms")
	bench.Result(out, "audit_lag_p99_ms", float64(m.p99.Microseconds())/1000, "ms")
	bench.Result(out, "audit_lost", float64(m.lost), "pods")
	bench.Result(out, "audit_writes_per_deletion", sum, "writes")
	bench.Result(out, "audit_events_written", m.writes["events"]*float64(m.pods), "writes")
	bench.Result(out, "audit_bytes_per_obituary", m.bytes, "bytes")
	bench.Result(out, "audit_rss_mb", m.memory.Peak, "MB")
}
