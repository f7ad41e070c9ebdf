package gc

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

func pending(node string, n int) task {
	uid := fmt.Sprintf("%s-%d", node, n)
	return task{pod: types.NamespacedName{Namespace: "ns", Name: uid}, uid: types.UID(uid),
		node: node, cause: CauseOrphaned}
}

func testTurns(t *testing.T) *turns {
	t.Helper()
	turns := newTurns(clock.RealClock{})
	t.Cleanup(turns.ShutDown)
	return turns
}

func TestNodesTakeTurns(t *testing.T) {
	t.Parallel()
	turns := testTurns(t)
	for _, node := range []string{"a", "b"} {
		for n := range 3 {
			turns.add(pending(node, n))
		}
	}
	turns.add(pending("late", 0))
	var got []string
	for range 7 {
		k, ok := turns.next(t.Context())
		if !ok {
			t.Fatal("next returned nothing")
		}
		got = append(got, string(k.uid))
	}
	want := []string{"a-0", "b-0", "late-0", "a-1", "b-1", "a-2", "b-2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order of work (-want +got):\n%s", diff)
	}
}

func TestTheFiftyFirstNodeDoesNotWaitForAZone(t *testing.T) {
	t.Parallel()
	turns := testTurns(t)
	for zone := range 50 {
		for n := range 100 {
			turns.add(pending(fmt.Sprintf("zone-%d", zone), n))
		}
	}
	turns.add(pending("alone", 0))
	for served := range 51 {
		if k, _ := turns.next(t.Context()); k.node == "alone" {
			if served != 50 {
				t.Errorf("served after %d pods, want 50", served)
			}
			return
		}
	}
	t.Error("not served among the first 51 of 5001 pods")
}

func TestAPodIsTakenUpOnceAtATime(t *testing.T) {
	t.Parallel()
	turns := testTurns(t)
	if !turns.add(pending("a", 0)) {
		t.Fatal("a new pod was refused")
	}
	if turns.add(pending("a", 0)) {
		t.Error("a pod that waits was queued again")
	}
	k, _ := turns.next(t.Context())
	if turns.add(pending("a", 0)) {
		t.Error("a pod that is being worked on was queued again")
	}
	if turns.Len() != 0 || !turns.holds(k.uid) {
		t.Errorf("waiting %d, holds %t, want 0 and true", turns.Len(), turns.holds(k.uid))
	}
	turns.done(k)
	if !turns.add(pending("a", 0)) {
		t.Error("a pod that is done cannot be queued again")
	}
}

func TestNextWaitsAndEndsWithItsQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := testTurns(t)
		got := make(chan bool, 1)
		go func() {
			_, ok := turns.next(t.Context())
			got <- ok
		}()
		time.Sleep(time.Hour)
		select {
		case <-got:
			t.Error("next did not wait")
		default:
		}
		turns.ShutDown()
		synctest.Wait()
		if ok := <-got; ok {
			t.Error("next returned a task that nobody added")
		}
	})
}

// client-go's queue still hands out what waits after it was shut down; a collector that ends must
// not work on that.
func TestNothingIsTakenUpInTheEnd(t *testing.T) {
	t.Parallel()
	turns := testTurns(t)
	turns.add(pending("a", 0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	turns.ShutDown()
	if k, ok := turns.next(ctx); ok {
		t.Errorf("next returned %s after the end", k.uid)
	}
}

// What the collector does to a pod comes back to it as events, some after the pod is gone.
func TestPodThatWasEndedIsNotTakenUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(clock.RealClock{})
		defer turns.ShutDown()
		k := pending("a", 0)
		turns.add(k)
		if _, ok := turns.next(t.Context()); !ok {
			t.Fatal("next returned nothing")
		}
		turns.end(k.uid)
		turns.done(k)
		if !turns.holds(k.uid) || turns.add(k) {
			t.Error("the pod is taken up again")
		}
		time.Sleep(endedLife + time.Second)
		if turns.holds(k.uid) || !turns.add(k) {
			t.Error("a pod that is still there is not taken up any more")
		}
	})
}
