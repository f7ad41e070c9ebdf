package main

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/epitaph-k8s/epitaph/agent"
)

// removeAgain is how long `agent --remove --stay` waits before it tries again.
const removeAgain = 5 * time.Second

// removeAndStay takes everything away, and runs until the context ends: a DaemonSet starts whatever
// ends anew, and its rollout tells by the pods that are ready where all is gone.
func removeAndStay(ctx context.Context, a *agent.Agent, o agent.Options) error {
	work, ctx := errgroup.WithContext(ctx)
	var removed atomic.Bool
	alive := func() error { return nil }
	ready := func() error {
		if !removed.Load() {
			return errors.New("what the agent has set up is still there")
		}
		return nil
	}
	if err := serveProbes(ctx, work, o.Config.MetricsAddress, alive, ready); err != nil {
		return err
	}
	work.Go(func() error {
		err := wait.PollUntilContextCancel(ctx, removeAgain, true,
			func(ctx context.Context) (bool, error) {
				if err := a.Remove(ctx); err != nil {
					o.Log.Error(err, "taking away what was set up")
					return false, nil
				}
				return true, nil
			})
		if err != nil {
			return nil // We were told to end.
		}
		removed.Store(true)
		o.Log.Info("taken away is all that was set up")
		<-ctx.Done()
		return nil
	})
	return work.Wait()
}
