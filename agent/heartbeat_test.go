package agent_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/configfs"
)

// An agent whose kernel does not return from a write is not alive; one that finds many faults is.
func TestAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("6.14", nine)
		w.hop["10.0.0.9"] = ""
		var stuck atomic.Bool
		release := make(chan struct{})
		a := w.agent(t, func(o *agent.Options) {
			o.Files = func() (configfs.Files, error) {
				if stuck.Load() {
					<-release
				}
				return w.kernel, nil
			}
		})
		want := func(what string, ready, alive bool) {
			t.Helper()
			if err := a.Ready(); (err == nil) != ready {
				t.Errorf("%s: ready is %v, want %v", what, err, ready)
			}
			if err := a.Alive(); (err == nil) != alive {
				t.Errorf("%s: alive is %v, want %v", what, err, alive)
			}
		}
		want("at the start", false, true)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.Run(ctx, nil) }()
		time.Sleep(10 * time.Minute)
		want("after many passes with a fault", true, true)
		stuck.Store(true)
		time.Sleep(2 * time.Minute)
		want("while a pass takes long", true, true)
		time.Sleep(time.Minute)
		want("in a pass that does not end", true, false)
		cancel()
		close(release)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
