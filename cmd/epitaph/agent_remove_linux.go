package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/epitaph-k8s/epitaph/agent"
)

// removeAgain is how long `agent --remove --stay` waits before it tries again.
const removeAgain = 5 * time.Second

// removeAndStay takes everything away, and runs until the context ends: a DaemonSet starts whatever
// ends anew, and its rollout tells by the pods that are ready where all is gone.
func removeAndStay(ctx context.Context, a *agent.Agent, o agent.Options, log logr.Logger) error {
	work, ctx := errgroup.WithContext(ctx)
	var removed atomic.Bool
	if address := o.Config.MetricsAddress; address != "" {
		server, err := metricsserver.NewServer(metricsserver.Options{BindAddress: address,
			ExtraHandlers: map[string]http.Handler{
				"/healthz": healthz.CheckHandler{Checker: healthz.Ping},
				"/readyz": healthz.CheckHandler{Checker: func(*http.Request) error {
					if !removed.Load() {
						return errors.New("what the agent has set up is still there")
					}
					return nil
				}},
			}}, nil, nil)
		if err != nil {
			return fmt.Errorf("serve the probes: %w", err)
		}
		work.Go(func() error { return server.Start(ctx) })
	}
	work.Go(func() error {
		err := wait.PollUntilContextCancel(ctx, removeAgain, true,
			func(ctx context.Context) (bool, error) {
				if err := a.Remove(ctx); err != nil {
					log.Error(err, "taking away what was set up")
					return false, nil
				}
				return true, nil
			})
		if err != nil {
			return nil // We were told to end.
		}
		removed.Store(true)
		log.Info("taken away is all that was set up")
		<-ctx.Done()
		return nil
	})
	return work.Wait()
}
