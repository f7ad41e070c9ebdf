package webhook

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// Promised reasons give way to deletions, for a while.
func TestPaceWaitsForQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(clock.RealClock{})
		promised := time.Now()
		if got := p.wait(promised); got != 0 {
			t.Errorf("while nothing is deleted, it waits %v", got)
		}
		answered := p.review()
		if got := p.wait(promised); got != patience {
			t.Errorf("while a review is answered, it waits %v, want %v", got, patience)
		}
		answered()
		time.Sleep(quiet - 1)
		if got := p.wait(promised); got != patience-quiet+1 {
			t.Errorf("shortly after a review, it waits %v", got)
		}
		time.Sleep(time.Nanosecond)
		if got := p.wait(promised); got != 0 {
			t.Errorf("after a quiet time, it waits %v", got)
		}
		defer p.review()()
		time.Sleep(patience)
		if got := p.wait(promised); got != 0 {
			t.Errorf("a promise that is old enough waits %v", got)
		}
	})
}

// So many are written at a time as are outstanding requires.
func TestPaceOfManyWrites(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		owed, atOnce int
		age          time.Duration
	}{
		"few":    {owed: maxOwed/workers - 1, atOnce: 1},
		"some":   {owed: maxOwed / 2, atOnce: 1 + workers/2},
		"many":   {owed: maxOwed, atOnce: workers},
		"urgent": {owed: 1, atOnce: workers, age: urgent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, promised := newPace(clock.RealClock{}), time.Now()
				time.Sleep(tt.age)
				var mu sync.Mutex
				var all sync.WaitGroup
				now, most := 0, 0
				for range workers {
					all.Go(func() {
						end := p.turn(t.Context(), promised, func() int { return tt.owed })
						mu.Lock()
						now++
						most = max(most, now)
						mu.Unlock()
						time.Sleep(10 * time.Millisecond)
						mu.Lock()
						now--
						mu.Unlock()
						end()
					})
				}
				all.Wait()
				if most != tt.atOnce || p.writing != 0 {
					t.Errorf("%d were written at once, want %d; %d have not ended", most,
						tt.atOnce, p.writing)
				}
			})
		})
	}
}

// A process that ends does not wait for its turn.
func TestPaceEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPace(clock.RealClock{})
		first := p.turn(t.Context(), time.Now(), func() int { return 0 })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.turn(ctx, time.Now(), func() int { return 0 })()
		first()
		if p.writing != 0 {
			t.Errorf("%d have not ended", p.writing)
		}
	})
}
