package sandbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// registry is the prefix of everything that the API server stores, namespaces the one of those.
const (
	registry   = "/registry/"
	namespaces = registry + "namespaces/"
)

// alive are the prefixes of what the control plane's programs keep for themselves while they run:
// it belongs to no test.
var alive = []string{
	registry + "apiregistration.k8s.io/", registry + "configmaps/kube-system/",
	registry + "internal.apiserver.k8s.io/", registry + "leases/kube-system/",
	registry + "masterleases/", registry + "peerserverleases/",
	registry + "serviceaccounts/kube-system/",
}

const (
	// settled is how often in a row the store must be found as it was, pause the time in between:
	// a controller may just be making something for an object that is gone.
	settled = 3
	pause   = 100 * time.Millisecond
)

// A baseline is what etcd held at one time. It is read and restored behind the API server's back,
// which hears of each change from its watches as it hears of its own: there is no other way to
// remove a thing without its finalizers, and none that is as complete.
type baseline struct {
	store etcd
	held  map[string]entry
}

// takeBaseline reads everything that is in etcd.
func takeBaseline(ctx context.Context, store etcd) (*baseline, error) {
	b := &baseline{store: store, held: map[string]entry{}}
	err := b.store.list(ctx, false, func(key string, e entry) { b.held[key] = e })
	if err != nil {
		return nil, fmt.Errorf("read what is in etcd: %w", err)
	}
	return b, nil
}

// restore makes etcd hold what it held. What changed is put back once: the API server itself
// changes some of it again. What came is removed until nothing comes any more.
func (b *baseline) restore(ctx context.Context) error {
	changed, err := b.changed(ctx)
	if err != nil {
		return err
	}
	if err := b.store.put(ctx, changed); err != nil {
		return err
	}
	for clean := 0; clean < settled; {
		came, err := b.came(ctx)
		if err != nil {
			return err
		}
		clean++
		if len(came) > 0 {
			clean = 0
		}
		if err := b.store.remove(ctx, came); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d keys come again and again, %q among them: %w", len(came),
				came[:min(len(came), 3)], ctx.Err())
		case <-time.After(pause):
		}
	}
	// The new revisions are those from which a change is one.
	return b.store.list(ctx, true, func(key string, e entry) {
		if old, ok := b.held[key]; ok {
			b.held[key] = entry{old.value, e.revision}
		}
	})
}

// changed are the values of what has changed or is gone.
func (b *baseline) changed(ctx context.Context) (map[string][]byte, error) {
	changed := map[string][]byte{}
	for key, e := range b.held {
		if !isAlive(key) {
			changed[key] = e.value
		}
	}
	err := b.store.list(ctx, true, func(key string, now entry) {
		if b.held[key].revision == now.revision {
			delete(changed, key)
		}
	})
	return changed, err
}

// came are the keys that were not there: namespaces first, since nothing can be made in one that is
// gone.
func (b *baseline) came(ctx context.Context) (keys []string, err error) {
	err = b.store.list(ctx, true, func(key string, _ entry) {
		if _, ok := b.held[key]; !ok && !isAlive(key) && !b.ofItsNamespace(key) {
			keys = append(keys, key)
		}
	})
	slices.SortStableFunc(keys, func(a, b string) int {
		return rank(a) - rank(b)
	})
	return keys, err
}

// ofItsNamespace tells whether a controller gives that to every namespace, and the namespace stays:
// it may have come to that only after the baseline was taken.
func (b *baseline) ofItsNamespace(key string) bool {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(key, registry), "/")
	namespace, name, _ := strings.Cut(rest, "/")
	_, stays := b.held[namespaces+namespace]
	return stays && slices.Contains([]string{"configmaps/kube-root-ca.crt",
		"serviceaccounts/default"}, kind+"/"+name)
}

func rank(key string) int {
	if strings.HasPrefix(key, namespaces) {
		return 0
	}
	return 1
}

func isAlive(key string) bool {
	return slices.ContainsFunc(alive, func(prefix string) bool {
		return strings.HasPrefix(key, prefix)
	})
}
