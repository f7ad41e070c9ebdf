package gc

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// confirmedFor is how long we rely on the API server's answer that a Node does not exist. One GET
// then serves the many pods of a node, and we notice a Node that returns within this time even if
// the watch lags.
const confirmedFor = 2 * time.Second

// confirmations ask the API server, not the cache, whether a Node is gone. Only NotFound counts.
type confirmations struct {
	live  client.Reader
	clock clock.PassiveClock

	mu sync.Mutex
	at map[string]time.Time
}

// absent reports whether no Node of that name exists.
func (c *confirmations) absent(ctx context.Context, name string) (bool, error) {
	if c.fresh(name) {
		return true, nil
	}
	asked := c.clock.Now()
	err := c.live.Get(ctx, types.NamespacedName{Name: name}, &corev1.Node{})
	switch {
	case err == nil:
		return false, nil
	case !apierrors.IsNotFound(err):
		return false, fmt.Errorf("confirm that node %s is gone: %w", name, err)
	}
	c.remember(name, asked)
	return true, nil
}

// remember keeps the answer, and drops those that have expired.
func (c *confirmations) remember(name string, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.at,
		func(_ string, at time.Time) bool { return c.clock.Since(at) > confirmedFor })
	c.at[name] = asked
}

func (c *confirmations) fresh(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.at[name]
	return ok && c.clock.Since(at) <= confirmedFor
}

func newConfirmations(live client.Reader, clk clock.PassiveClock) *confirmations {
	return &confirmations{live: live, clock: clk, at: map[string]time.Time{}}
}
