package e2e

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// memory is Epitaph's memory of nodes, in this process.
func (c *cluster) memory(t *testing.T) *audit.NodeObituaries {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	cached, err := cache.New(c.RESTConfig(), cache.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.IndexNodeObituaries(t.Context(), cached); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cached.Start(t.Context()) }()
	if !cached.WaitForCacheSync(t.Context()) {
		t.Fatal("the cache does not start")
	}
	live, err := client.New(c.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &audit.NodeObituaries{Cache: cached, Live: live, Writer: live, Clock: clock.RealClock{}}
}

// finds waits until the cache has the reason.
func (c *cluster) finds(t *testing.T, o *audit.NodeObituaries, node string, created time.Time,
	want reason.Code) {
	t.Helper()
	c.eventually(t, "the obituary of "+node+" says "+string(want),
		func(ctx context.Context) (bool, error) {
			r, ok, err := o.Find(ctx, node, created)
			return ok == (want != "") && r.Code == want, err
		})
}

func TestMemoryOfNodes(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{LeaveOut: true}})
	o := c.memory(t)
	now := time.Now()
	first := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "11111111-1111-1111"}}
	second := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "22222222-2222-2222"}}
	panicked := reason.New(reason.Node, reason.KernelPanic, "Attempted to kill init!", "kernel")

	t.Run("every replica may record, and one record is kept", func(t *testing.T) {
		var replicas sync.WaitGroup
		for range 8 {
			replicas.Go(func() {
				if err := o.Record(t.Context(), first, panicked); err != nil {
					t.Error(err)
				}
			})
		}
		replicas.Wait()
		if n := c.obituariesOf(t, "n1"); n != 1 {
			t.Errorf("%d obituaries, want 1", n)
		}
		c.finds(t, o, "n1", now.Add(-time.Hour), reason.KernelPanic)
	})
	t.Run("an explanation is not lost", func(t *testing.T) {
		if err := o.Record(t.Context(), first,
			reason.New(reason.Node, reason.Unexplained, "x", "x")); err != nil {
			t.Fatal(err)
		}
		c.finds(t, o, "n1", now.Add(-time.Hour), reason.KernelPanic)
	})
	t.Run("another death than the one that was refused", func(t *testing.T) {
		if err := o.Record(t.Context(), first,
			reason.New(reason.Node, reason.HardwareFailure, "disk", "x")); err != nil {
			t.Fatal(err)
		}
		c.finds(t, o, "n1", now.Add(-time.Hour), reason.HardwareFailure)
	})
	t.Run("it says nothing about pods for a node to come", func(t *testing.T) {
		c.finds(t, o, "n1", now.Add(time.Hour), "")
		c.finds(t, o, "n2", now, "")
	})
	t.Run("the last of two nodes of one name counts, unless a third came", func(t *testing.T) {
		time.Sleep(1100 * time.Millisecond) // the times have whole seconds
		if err := o.Record(t.Context(), second, panicked); err != nil {
			t.Fatal(err)
		}
		c.finds(t, o, "n1", now.Add(-time.Hour), reason.KernelPanic)
		last, err := o.Last(t.Context(), "n1")
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Succeed(t.Context(), last, types.UID("third")); err != nil {
			t.Fatal(err)
		}
		c.finds(t, o, "n1", now.Add(-time.Hour), "")
	})
	t.Run("the API server refuses what is no obituary", func(t *testing.T) {
		bad := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: "bad"},
			Spec: v1alpha1.NodeObituarySpec{
				NodeName: "n1", Removed: metav1.Now(), Code: "X", Class: "fun",
				Reason: strings.Repeat("x", 2000),
			}}
		if err := o.Writer.Create(t.Context(), bad); !apierrors.IsInvalid(err) {
			t.Errorf("the create ended with %v, want it invalid", err)
		}
	})
	k := retain(t, o, c.typed(t, c.RESTConfig()))
	t.Run("records go by age", func(t *testing.T) {
		k.Limits.Nodes.MaxAge.Duration = 23 * time.Hour
		if err := k.Prune(t.Context()); err != nil || c.obituariesOf(t, "n1") != 2 {
			t.Errorf("%d records are left, want both: it is too early (%v)",
				c.obituariesOf(t, "n1"), err)
		}
		k.Clock = clocktesting.NewFakeClock(now.Add(24 * time.Hour))
		if err := k.Prune(t.Context()); err != nil || c.obituariesOf(t, "n1") != 2 {
			t.Errorf("%d records are left (%v), want both: our clock alone jumped ahead",
				c.obituariesOf(t, "n1"), err)
		}
		k.Clock, k.Limits.Nodes.MaxAge.Duration = clock.RealClock{}, time.Second
		c.eventually(t, "what is old by both clocks is gone",
			func(ctx context.Context) (bool, error) {
				err := k.Prune(ctx)
				return k.expired("node", "age") == 2 && c.obituariesOf(t, "n1") == 0, err
			})
	})
	t.Run("records go by number, the oldest first, but not those that pods are held by",
		func(t *testing.T) {
			missing := []string{"a", "b", "c", "d"}
			for n, name := range missing {
				if err := o.RecordMissing(t.Context(), name,
					now.Add(-time.Duration(n)*time.Hour)); err != nil {
					t.Fatal(err)
				}
				c.finds(t, o, name, now.Add(-5*time.Hour), reason.Unexplained)
				if n < 3 {
					time.Sleep(1100 * time.Millisecond) // the times have whole seconds
				}
			}
			first, err := o.Last(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Hold(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			c.eventually(t, "the cache knows that pods are held",
				func(ctx context.Context) (bool, error) {
					o, err := o.Last(ctx, "a")
					return o.Annotations[reason.HeldKey] != "", err
				})
			k.Limits.Nodes.MaxAge.Duration, k.Limits.Nodes.Max = time.Hour, 2
			if err := k.Prune(t.Context()); err != nil || k.expired("node", "number") != 2 {
				t.Errorf("%d removed by number (%v), want 2", k.expired("node", "number"), err)
			}
			for n, name := range missing {
				if left, want := c.obituariesOf(t, name), []int{1, 0, 0, 1}[n]; left != want {
					t.Errorf("%d obituaries of node %s, want %d", left, name, want)
				}
			}
		})
}
