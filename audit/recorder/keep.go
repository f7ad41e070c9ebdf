package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
)

const (
	// keepEvery is how often namespaces that got new obituaries are looked at.
	keepEvery = 15 * time.Second
	// keepAllEvery is how many of those looks are at all namespaces: age comes slowly.
	keepAllEvery = 40
	// Reasons for which obituaries are removed.
	byAge    = "age"
	byNumber = "number"
)

// A Keeper removes obituaries beyond the retention. It reads their metadata page by page; nothing stays in memory.
type Keeper struct {
	API    client.Client
	Clock  clock.WithTicker
	Limits config.Audit
	Log    logr.Logger
	// Expired, if set, is told why an obituary was removed: age or number.
	Expired func(why string)

	mu sync.Mutex
	// grown are the namespaces that got an obituary since the last look.
	grown map[string]bool
}

// noteGrowth has a namespace looked at soon.
func (k *Keeper) noteGrowth(namespace string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.grown == nil {
		k.grown = map[string]bool{}
	}
	k.grown[namespace] = true
}

func (k *Keeper) takeGrown() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	namespaces := slices.Sorted(maps.Keys(k.grown))
	clear(k.grown)
	return namespaces
}

func (k *Keeper) run(ctx context.Context) {
	tick := k.Clock.NewTicker(keepEvery)
	defer tick.Stop()
	for look := 0; ; look++ {
		namespaces := k.takeGrown()
		if look%keepAllEvery == 0 {
			namespaces = []string{metav1.NamespaceAll}
		}
		for _, ns := range namespaces {
			if err := k.Keep(ctx, ns); err != nil && ctx.Err() == nil {
				k.Log.Error(err, "retention failed", "namespace", ns)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
		}
	}
}

// Keep removes what is too old or too many in a namespace, or in all.
func (k *Keeper) Keep(ctx context.Context, namespace string) error {
	page := &metav1.PartialObjectMetadataList{}
	page.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("PodObituaryList"))
	var failures []error
	var current string
	var held []metav1.ObjectMeta // of the current namespace: a list is in the order of namespaces
	for {
		if err := k.API.List(ctx, page, client.InNamespace(namespace), client.Limit(pageSize), client.Continue(page.Continue)); err != nil {
			return errors.Join(append(failures, fmt.Errorf("list the obituaries of pods: %w", err))...)
		}
		for n := range page.Items {
			o := page.Items[n].ObjectMeta
			if o.Namespace != current {
				failures = append(failures, k.prune(ctx, held))
				current, held = o.Namespace, held[:0]
			}
			held = append(held, metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID, CreationTimestamp: o.CreationTimestamp})
		}
		if page.Continue == "" {
			return errors.Join(append(failures, k.prune(ctx, held))...)
		}
	}
}

// prune removes of the obituaries of one namespace those that are too old, and the oldest beyond the number.
func (k *Keeper) prune(ctx context.Context, held []metav1.ObjectMeta) error {
	slices.SortFunc(held, func(a, b metav1.ObjectMeta) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	surplus := len(held) - k.Limits.MaxPerNamespace
	var failures []error
	for n := range held {
		switch old := k.Clock.Since(held[n].CreationTimestamp.Time) > k.Limits.Retention.Duration; {
		case old:
			failures = append(failures, k.remove(ctx, held[n], byAge))
		case n < surplus:
			failures = append(failures, k.remove(ctx, held[n], byNumber))
		default:
			return errors.Join(failures...)
		}
	}
	return errors.Join(failures...)
}

func (k *Keeper) remove(ctx context.Context, m metav1.ObjectMeta, by string) error {
	o := &v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name}}
	err := k.API.Delete(ctx, o, client.Preconditions{UID: &m.UID})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // somebody else removed it, or another has its name
	}
	if err != nil {
		return fmt.Errorf("remove obituary %s/%s: %w", m.Namespace, m.Name, err)
	}
	if k.Expired != nil {
		k.Expired(by)
	}
	return nil
}
