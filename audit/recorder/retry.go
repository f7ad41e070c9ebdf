package recorder

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/internal/pause"
)

// backoff returns the waits between retries: short at first, then longer and longer.
func backoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8,
		Cap: 10 * time.Second}
}

// never is for what the recorder cannot do without.
func never(error) bool { return false }

// maxPanics is after how many panics over it a pod is given up.
const maxPanics = 5

// afterPanics finds the last of maxPanics panics hopeless. The position cannot pass a pod that is
// not recorded (see progress): one pod must not hold up all others for good.
func afterPanics() func(error) bool {
	left := maxPanics
	return func(err error) bool {
		if p := (*guard.Panic)(nil); errors.As(err, &p) {
			left--
		}
		return left <= 0
	}
}

// retry retries until it succeeds, ctx is done, or an error is hopeless.
func (r *Recorder) retry(ctx context.Context, what string, try func() error,
	hopeless func(error) bool) error {
	for pauses := backoff(); ; {
		err := r.guard.Do(what, try)
		if err == nil || ctx.Err() != nil || hopeless(err) {
			return err
		}
		r.Log.Error(err, "attempt failed, will be retried", "attempt", what)
		if !pause.For(ctx, r.Clock, pauses.Step()) {
			return ctx.Err()
		}
	}
}
