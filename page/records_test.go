package page

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story/lookup"
	"github.com/epitaph-k8s/epitaph/test/hostile"
)

// listed is a record like those of a busy cluster; the first is the newest.
func listed(n int) *v1alpha1.PodObituary {
	pod := fmt.Sprintf("train-%05d-%d", n*7919%100_003, n)
	return &v1alpha1.PodObituary{
		ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%d", n%20),
			Name: fmt.Sprintf("%s-%012x", pod, n)},
		Spec: v1alpha1.PodObituarySpec{
			PodName: pod, NodeName: fmt.Sprintf("worker-%d", n%5000), Code: "KernelPanic",
			Class:   "disruption",
			Reason:  "This pod died unexpectedly because the underlying node kernel panicked!",
			By:      "epitaph/netconsole",
			Removed: metav1.NewTime(noon.Add(-time.Duration(n) * time.Second)),
			Owners: []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job",
				Name: fmt.Sprintf("train-%d", n/50)}},
		},
	}
}

func complete(t *testing.T, r *Records, all ...any) *recordStore {
	t.Helper()
	s := (*recordStore)(r)
	if err := s.Replace(all, "1"); err != nil {
		t.Fatal(err)
	}
	return s
}

func names(t *testing.T, r *Records, namespace string) (names []string) {
	t.Helper()
	found, _, err := r.in(t.Context(), namespace)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range found {
		names = append(names, o.name)
	}
	slices.Sort(names)
	return names
}

// What is added, changed and removed is seen, in its own namespace alone.
func TestRecordsFollow(t *testing.T) {
	t.Parallel()
	r := NewRecords(nil)
	a, b, other := listed(0), listed(20), listed(1)
	s := complete(t, r, a, other)
	if err := s.Add(b); err != nil {
		t.Fatal(err)
	}
	if got := names(t, r, "team-0"); !slices.Equal(got, []string{a.Name, b.Name}) &&
		!slices.Equal(got, []string{b.Name, a.Name}) {
		t.Errorf("team-0 has %q", got)
	}
	if got := names(t, r, ""); len(got) != 3 {
		t.Errorf("there are %q", got)
	}
	changed := b.DeepCopy()
	changed.Spec.Code = "Preempted"
	if err := errors.Join(s.Update(changed), s.Delete(a)); err != nil {
		t.Fatal(err)
	}
	found, _, err := r.in(t.Context(), "team-0")
	if err != nil || len(found) != 1 || found[0].code.Value() != "Preempted" || s.count != 2 {
		t.Errorf("after a change and a removal there are %v of %d, %v", found, s.count, err)
	}
	got := found[0].obituary()
	if got.Namespace != b.Namespace || got.Name != b.Name || got.Spec.PodName != b.Spec.PodName ||
		got.Spec.Reason != b.Spec.Reason || got.Spec.NodeName != b.Spec.NodeName ||
		!got.Spec.Removed.Equal(&b.Spec.Removed) || !slices.Equal(got.Spec.Owners, b.Spec.Owners) {
		t.Errorf("what is kept is %+v", got)
	}
	if err := s.Delete(other); err != nil || len(names(t, r, "team-1")) != 0 {
		t.Errorf("a namespace without records has some: %v", err)
	}
	if err := s.Add(&v1alpha1.NodeObituary{}); err == nil {
		t.Error("a record of a node is taken for a pod's")
	}
}

// More than the bound are never held; the oldest are left out, and it is said from when on.
func TestRecordsAreBounded(t *testing.T) {
	t.Parallel()
	r := NewRecords(nil)
	r.max = 1000
	s := complete(t, r)
	for n := range 5000 {
		if err := s.Add(listed(n * 7 % 5000)); err != nil {
			t.Fatal(err)
		}
		if s.count > r.max {
			t.Fatalf("%d records are held", s.count)
		}
	}
	found, missing, err := r.in(t.Context(), "")
	if err != nil || len(found) < r.max*9/10 || missing.IsZero() {
		t.Fatalf("%d are held, missing %v: %v", len(found), missing, err)
	}
	// All that are newer than those left out are there.
	if want := int(noon.Sub(missing) / time.Second); len(found) != want {
		t.Errorf("%d records are held of the %d that left after %v", len(found), want, missing)
	}
}

// A visit waits for the first reading, and not for ever.
func TestRecordsAreComplete(t *testing.T) {
	t.Parallel()
	r := NewRecords(nil)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, _, err := r.in(ctx, ""); !errors.Is(err, errUnread) {
		t.Errorf("before they are read: %v", err)
	}
	if got := outcomeOf(errUnread); got.name != "unread" || got.status != 503 {
		t.Errorf("got %+v", got)
	}
}

// The reflector fills the store from an API server that streams its list, as all of today do, and
// from one that does not.
func TestRecordsAreWatched(t *testing.T) {
	t.Parallel()
	for name, streams := range map[string]bool{"streamed": true, "listed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := watch.NewFakeWithChanSize(4, false)
			r := NewRecords(&cache.ListWatch{
				ListWithContextFunc: func(context.Context,
					metav1.ListOptions) (apiruntime.Object, error) {
					return &v1alpha1.PodObituaryList{ListMeta: metav1.ListMeta{
						ResourceVersion: "1"}, Items: []v1alpha1.PodObituary{*listed(0)}}, nil
				},
				WatchFuncWithContext: func(_ context.Context,
					o metav1.ListOptions) (watch.Interface, error) {
					if o.SendInitialEvents == nil {
						return source, nil
					}
					if !streams {
						return nil, apierrors.NewInvalid(schema.GroupKind{}, "", nil)
					}
					first, end := listed(0), &v1alpha1.PodObituary{}
					first.ResourceVersion, end.ResourceVersion = "1", "1"
					end.Annotations = map[string]string{
						metav1.InitialEventsAnnotationKey: "true"}
					source.Add(first)
					source.Action(watch.Bookmark, end)
					return source, nil
				},
			})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.Start(ctx) }()
			if got := names(t, r, ""); len(got) == 0 {
				t.Error("nothing was read")
			}
			o := listed(1)
			o.ResourceVersion = "2"
			source.Add(o)
			eventually(t, func() bool { return len(names(t, r, "")) == 2 })
			source.Delete(o)
			eventually(t, func() bool { return len(names(t, r, "")) == 1 })
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}

// A search finds its one record among 100,000, and what those take is bounded.
func TestManyRecords(t *testing.T) {
	const n = 100_000
	before := heap()
	r := NewRecords(nil)
	s := complete(t, r)
	for i := range n {
		if err := s.Add(listed(i)); err != nil {
			t.Fatal(err)
		}
	}
	each := float64(heap()-before) / n
	t.Logf("%.0f bytes a record", each)
	if each > 400 {
		t.Errorf("a record takes %.0f bytes", each)
	}
	found, _, err := r.in(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	q := query{Text: listed(n / 2).Spec.PodName}
	if got := pick(found, podsOf(q, lookup.Filter{}), nil, rowsShown); got.matching != 1 ||
		got.read != n || got.rows[0].pod != q.Text {
		t.Errorf("the search finds %d of %d", got.matching, got.read)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Each filter and the search look at their fields, and nothing that is written there is more than a
// text.
func TestPodsOfAQuery(t *testing.T) {
	t.Parallel()
	o := listed(0)
	o.Spec.Reason, o.Spec.By = hostile.Text, "\x1b[1mursula"
	r := recordOf(o)
	for name, tc := range map[string]struct {
		q    query
		f    lookup.Filter
		want bool
	}{
		"nothing":           {want: true},
		"namespace":         {f: lookup.Filter{Namespace: "team-0"}, want: true},
		"another namespace": {f: lookup.Filter{Namespace: "team"}},
		"pod":               {f: lookup.Filter{Pod: o.Spec.PodName}, want: true},
		"another pod":       {f: lookup.Filter{Pod: "train"}},
		"node":              {f: lookup.Filter{Node: "worker-0"}, want: true},
		"another node":      {f: lookup.Filter{Node: "worker-1"}},
		"code":              {f: lookup.Filter{Code: "KernelPanic"}, want: true},
		"another code":      {f: lookup.Filter{Code: "kernelpanic"}},
		"class":             {f: lookup.Filter{Class: "disruption"}, want: true},
		"another class":     {f: lookup.Filter{Class: "routine"}},
		"since":             {f: lookup.Filter{Since: noon}, want: true},
		"later":             {f: lookup.Filter{Since: noon.Add(time.Second)}},
		"owner":             {q: query{Owner: "Job/train-0"}, want: true},
		"owner's name":      {q: query{Owner: "train-0"}, want: true},
		"owner with group":  {q: query{Owner: ownerText(o.Spec.Owners[0])}, want: true},
		"another owner":     {q: query{Owner: "train-00"}},
		"search":            {q: query{Text: "KERNELPANIC"}, want: true},
		"search an owner":   {q: query{Text: "job/TRAIN-0"}, want: true},
		"search a user":     {q: query{Text: "URSULA"}, want: true},
		"search HTML":       {q: query{Text: "<script>"}, want: true},
		"search escapes":    {q: query{Text: "\x1b[1m"}, want: true},
		"search a pattern":  {q: query{Text: "train-.*"}},
		"search much":       {q: query{Text: strings.Repeat("x", 1<<20)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := podsOf(tc.q, tc.f).matches(r); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
