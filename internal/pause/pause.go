// Package pause waits by a clock that is an argument.
package pause

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// For returns true after d, or false as soon as ctx is done.
func For(ctx context.Context, clk clock.Clock, d time.Duration) bool {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}
