package recorder

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/epitaph-k8s/epitaph/internal/pause"
)

// backoff is how what failed is tried again: soon, and then ever more slowly.
func backoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8,
		Cap: 10 * time.Second}
}

// retry tries until it succeeds or ctx is done.
func (r *Recorder) retry(ctx context.Context, what string, try func() error) error {
	for pauses := backoff(); ; {
		err := try()
		if err == nil || ctx.Err() != nil {
			return err
		}
		r.Log.Error(err, "attempt failed, will be repeated", "attempt", what)
		if !pause.For(ctx, r.Clock, pauses.Step()) {
			return ctx.Err()
		}
	}
}
