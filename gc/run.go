package gc

import (
	"context"
	"errors"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
)

const (
	// examiners is the number of workers that examine subjects, with at most one GET and one write
	// each time.
	examiners = 8
	// A failed examination is repeated after firstRetry, then with exponential backoff up to
	// lastRetry.
	firstRetry = 50 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Start collects until ctx is done. It is called once this replica leads.
func (c *Collector) Start(ctx context.Context) error {
	select {
	case <-c.counted:
	case <-ctx.Done():
		return nil
	}
	told, stop, err := c.follow(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if !toolscache.WaitForCacheSync(ctx.Done(), told) {
		return nil
	}
	c.log.Info("collecting pods", "workers", c.config.Workers,
		"quarantine", c.config.Quarantine.Duration.String())

	var running sync.WaitGroup
	defer running.Wait()
	for range examiners {
		running.Go(func() { c.examineAll(ctx) })
	}
	for range c.config.Workers {
		running.Go(func() { c.workAll(ctx) })
	}
	<-ctx.Done()
	c.subjects.ShutDown()
	c.turns.ShutDown()
	return nil
}

func (c *Collector) examineAll(ctx context.Context) {
	for {
		s, quit := c.subjects.Get()
		if quit || ctx.Err() != nil {
			return // a queue that is shut down still hands out what waits in it
		}
		again, err := c.examineGuarded(ctx, s)
		switch {
		case err != nil:
			if !errors.Is(err, context.Canceled) {
				c.log.Error(err, "examination failed", "node", s.node, "pod", s.pod.String())
			}
			c.subjects.AddRateLimited(s)
		case s.node != "":
			c.subjects.Forget(s) // the backoff of a pod ends only once work on it succeeds
		}
		if again > 0 {
			c.subjects.AddAfter(s, again)
		}
		c.subjects.Done(s)
	}
}

// examineGuarded turns a panic into an error: the subject is examined again, as after any other
// error.
func (c *Collector) examineGuarded(ctx context.Context,
	s subject) (again time.Duration, err error) {
	err = c.guard.Do("examination", func() error {
		again, err = c.examine(ctx, s)
		return err
	})
	return again, err
}

func (c *Collector) workAll(ctx context.Context) {
	for {
		k, ok := c.turns.next(ctx)
		if !ok {
			return
		}
		err := c.guard.Do("termination", func() error { return c.work(ctx, k) })
		c.turns.done(k)
		if err == nil {
			c.subjects.Forget(subject{pod: k.pod})
			continue
		}
		if !errors.Is(err, context.Canceled) {
			c.metrics.errors.WithLabelValues(string(k.cause)).Inc()
			c.log.Error(err, "pod not taken up", "pod", k.pod.String(), "cause", string(k.cause))
		}
		c.subjects.AddRateLimited(subject{pod: k.pod})
	}
}
