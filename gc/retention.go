package gc

import (
	"context"
	"time"
)

// expireEvery is how often obituaries beyond their retention are removed.
const expireEvery = 10 * time.Minute

// expire removes obituaries by age and by number.
func (c *Collector) expire(ctx context.Context) {
	tick := c.clock.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		removed, err := c.obituaries.Expire(ctx, c.config.ObituaryRetention.Duration, c.config.MaxObituaries)
		if err != nil && ctx.Err() == nil {
			c.log.Error(err, "expiry failed")
		}
		if removed > 0 {
			c.log.Info("obituaries removed", "removed", removed, "retention", c.config.ObituaryRetention.Duration.String(), "max", c.config.MaxObituaries)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
		}
	}
}
