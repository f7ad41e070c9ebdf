package gc

import (
	"context"
	"errors"
	"sync"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
)

const (
	// examiners look at nodes: each look is at most one GET and one write.
	examiners = 8
	// A look that failed is repeated after firstRetry, and then ever more slowly.
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
			return // a queue that is shut down goes on to hand out what waits
		}
		again, err := c.examine(ctx, s)
		switch {
		case err != nil:
			if !errors.Is(err, context.Canceled) {
				c.log.Error(err, "examination failed", "node", s.node, "pod", s.pod.String())
			}
			c.subjects.AddRateLimited(s)
		case s.node != "":
			c.subjects.Forget(s) // a pod is only done with once work on it succeeds
		}
		if again > 0 {
			c.subjects.AddAfter(s, again)
		}
		c.subjects.Done(s)
	}
}

func (c *Collector) workAll(ctx context.Context) {
	for {
		k, ok := c.turns.next(ctx)
		if !ok {
			return
		}
		err := c.work(ctx, k)
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
