package gc

import (
	"context"
	"time"
)

// expireEvery is how often obituaries beyond their retention are removed. It is far finer than any retention.
const expireEvery = 10 * time.Minute

// expire removes obituaries by age.
func (c *Collector) expire(ctx context.Context) {
	tick := c.clock.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		removed, err := c.obituaries.Expire(ctx, c.config.ObituaryRetention.Duration)
		if err != nil && ctx.Err() == nil {
			c.log.Error(err, "expiry failed")
		}
		if removed > 0 {
			c.log.Info("obituaries removed by age", "removed", removed, "retention", c.config.ObituaryRetention.Duration.String())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
		}
	}
}
