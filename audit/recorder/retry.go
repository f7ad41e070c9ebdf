package recorder

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// backoff is how what failed is tried again: soon, and then ever more slowly.
func backoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8, Cap: 10 * time.Second}
}

// insist tries until it succeeds or ctx is done.
func (r *Recorder) insist(ctx context.Context, what string, try func() error) error {
	for pauses := backoff(); ; {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		r.Log.Error(err, "attempt failed, will be repeated", "attempt", what)
		if err := r.pause(ctx, pauses.Step()); err != nil {
			return err
		}
	}
}

func (r *Recorder) pause(ctx context.Context, d time.Duration) error {
	timer := r.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}
