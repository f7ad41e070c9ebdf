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
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
)

const (
	// keepEvery is how often namespaces that got new obituaries are looked at.
	keepEvery = 15 * time.Second
	// keepAllEvery: one of so many looks is at all namespaces, and at their age, too.
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

// Keep removes what is too many in a namespace. In all of them, if none is named, it removes also what is too old: a bounded
// share of each namespace at once, and only what is old by the API server's clock, too.
func (k *Keeper) Keep(ctx context.Context, namespace string) error {
	if namespace != metav1.NamespaceAll {
		return k.keep(ctx, namespace, time.Time{})
	}
	// Without the API server's time, which is zero then, nothing is old.
	now, err := audit.SharedNow(ctx, k.Clock, k.API)
	return errors.Join(err, k.keep(ctx, namespace, now))
}

func (k *Keeper) keep(ctx context.Context, namespace string, now time.Time) error {
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
				failures = append(failures, k.prune(ctx, held, now))
				current, held = o.Namespace, held[:0]
			}
			held = append(held, metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID, CreationTimestamp: o.CreationTimestamp})
		}
		if page.Continue == "" {
			return errors.Join(append(failures, k.prune(ctx, held, now))...)
		}
	}
}

// prune removes of the obituaries of one namespace the oldest beyond the number, and a share of those that are too old.
func (k *Keeper) prune(ctx context.Context, held []metav1.ObjectMeta, now time.Time) error {
	slices.SortFunc(held, func(a, b metav1.ObjectMeta) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	surplus, share := len(held)-k.Limits.MaxPerNamespace, audit.ExpiredAtOnce(len(held))
	var failures []error
	for n := range held {
		switch {
		case n < surplus:
			failures = append(failures, k.remove(ctx, held[n], byNumber))
		case share > 0 && now.Sub(held[n].CreationTimestamp.Time) > k.Limits.Retention.Duration:
			share--
			failures = append(failures, k.remove(ctx, held[n], byAge))
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
