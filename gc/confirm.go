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

// confirmedFor is how long the API server's word that a Node is not there holds: one GET then
// serves the many pods of a node, and a Node that returns is noticed within this time even if the
// watch is behind.
const confirmedFor = 2 * time.Second

// confirmations asks the API server itself whether a Node is gone. Only NotFound counts.
type confirmations struct {
	live  client.Reader
	clock clock.PassiveClock

	mu sync.Mutex
	at map[string]time.Time
}

// absent tells whether no Node of that name is there.
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

// remember keeps the answer, and drops those that no longer hold: the memory is as large as two
// seconds' questions.
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
