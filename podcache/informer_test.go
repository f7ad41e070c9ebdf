package podcache

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
)

const patience = 10 * time.Second

// pods is what an API server would list and watch; test/e2e proves that a real one does the same.
type pods struct {
	items  []corev1.Pod
	events *watch.FakeWatcher
}

func (p pods) List(metav1.ListOptions) (runtime.Object, error) {
	return &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}, Items: p.items}, nil
}

func (p pods) Watch(metav1.ListOptions) (watch.Interface, error) { return p.events, nil }

// IsWatchListSemanticsUnSupported makes a reflector list first.
func (pods) IsWatchListSemanticsUnSupported() bool { return true }

func byNode(o any) ([]string, error) { return []string{o.(*corev1.Pod).Spec.NodeName}, nil }

// run starts an informer of p and returns it once it is synced.
func run(t *testing.T, p pods) toolscache.SharedIndexInformer {
	t.Helper()
	i := NewInformer(kept{"kept"})(p, &corev1.Pod{}, 0,
		toolscache.Indexers{toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc})
	if err := i.AddIndexers(toolscache.Indexers{"node": byNode}); err != nil {
		t.Fatal(err)
	}
	go i.RunWithContext(t.Context())
	if !toolscache.WaitForCacheSync(t.Context().Done(), i.HasSynced) {
		t.Fatal("the informer did not sync")
	}
	return i
}

func TestStoreShowsPods(t *testing.T) {
	t.Parallel()
	indexer := run(t, pods{items: []corev1.Pod{*wholePod(1), *wholePod(31)},
		events: watch.NewFake()}).GetIndexer()
	want := []any{keptPod()}
	one := func(o any, exists bool, err error) ([]any, error) {
		if !exists {
			return nil, err
		}
		return []any{o}, err
	}
	reads := map[string]func() ([]any, error){
		"by key": func() ([]any, error) {
			return one(indexer.GetByKey("team-1/worker-1-x7k2p"))
		},
		"by itself": func() ([]any, error) { return one(indexer.Get(wholePod(1))) },
		"by node":   func() ([]any, error) { return indexer.ByIndex("node", "ip-10-0-0-0") },
		"by namespace": func() ([]any, error) {
			return indexer.ByIndex(toolscache.NamespaceIndex, "team-1")
		},
		"like another": func() ([]any, error) { return indexer.Index("node", wholePod(1)) },
	}
	for name, read := range reads {
		got, err := read()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for _, o := range indexer.List() {
		if _, ok := o.(*corev1.Pod); !ok {
			t.Errorf("List has a %T", o)
		}
	}
	if o, exists, err := indexer.GetByKey("team-1/absent"); o != nil || exists || err != nil {
		t.Errorf("a pod that does not exist: %v, %t, %v", o, exists, err)
	}
}

func TestHandlersSeePods(t *testing.T) {
	t.Parallel()
	events := watch.NewFakeWithChanSize(2, false)
	i := run(t, pods{items: []corev1.Pod{*wholePod(1)}, events: events})
	seen := make(chan string, 10)
	told := toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(o any, initial bool) {
			seen <- fmt.Sprint("added ", o.(*corev1.Pod).Name,
				" ", initial)
		},
		UpdateFunc: func(a, b any) {
			seen <- fmt.Sprint("phase ", a.(*corev1.Pod).Status.Phase,
				" ", b.(*corev1.Pod).Status.Phase)
		},
		DeleteFunc: func(o any) { seen <- fmt.Sprint("deleted ", o.(*corev1.Pod).Status.Phase) },
	}
	registered, err := i.AddEventHandler(told)
	if err != nil {
		t.Fatal(err)
	}
	if !toolscache.WaitForCacheSync(t.Context().Done(), registered.HasSynced) {
		t.Fatal("the handler was not told of what is there")
	}
	after := wholePod(1)
	after.Status.Phase, after.ResourceVersion = corev1.PodFailed, "123456790"
	events.Modify(after)
	events.Delete(after)
	for _, want := range []string{"added worker-1-x7k2p true", "phase Running Failed",
		"deleted Failed"} {
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("not told %q", want)
		}
	}
}

func TestMissedDeletionShowsThePod(t *testing.T) {
	t.Parallel()
	var got any
	h := handler{toolscache.ResourceEventHandlerFuncs{DeleteFunc: func(o any) { got = o }}}
	h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "k", Obj: compact(wholePod(1), kept{})})
	if diff := cmp.Diff(any(toolscache.DeletedFinalStateUnknown{Key: "k", Obj: keptPod()}),
		got); diff != "" {
		t.Error(diff)
	}
}

func TestInformerHoldsRecords(t *testing.T) {
	t.Parallel()
	i := run(t, pods{items: []corev1.Pod{*wholePod(1)}, events: watch.NewFake()})
	for _, o := range i.(*informer).SharedIndexInformer.GetIndexer().List() {
		if _, ok := o.(*record); !ok {
			t.Errorf("the store holds a %T", o)
		}
	}
}

func TestOtherKindsAreLeftAlone(t *testing.T) {
	t.Parallel()
	if i, ours := NewInformer(kept{})(pods{}, &corev1.Node{}, 0, nil).(*informer); ours {
		t.Errorf("the informer of Nodes is %T", i)
	}
}

// A record fills one of Go's allocation classes (80 bytes) exactly: a byte more would cost sixteen.
func TestRecordIsSmall(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(record{}); size != 80 {
		t.Errorf("a record has %d bytes, want 80", size)
	}
}
