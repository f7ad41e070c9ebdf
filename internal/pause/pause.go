// Package pause waits by a clock that the caller passes.
package pause

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// For returns true after d, or false as soon as ctx is done.
func For(ctx context.Context, clk clock.Clock, d time.Duration) bool {
	_, ok := Until(ctx, clk, d, nil)
	return ok
}

// Until is like For, but a message on news ends it early.
func Until(ctx context.Context, clk clock.Clock, d time.Duration,
	news <-chan struct{}) (early, ok bool) {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false, false
	case <-timer.C():
		return false, true
	case <-news:
		return true, true
	}
}
