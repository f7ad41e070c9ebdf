package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
)

const (
	// lookEvery is how often namespaces with new obituaries are pruned.
	lookEvery = 15 * time.Second
	// lookAtAllEvery is how many looks it takes until one prunes everything, and by age, too.
	lookAtAllEvery = 40
	// minExpiredAtOnce and maxExpiredShare bound how much one look removes by age: a number, and
	// the reciprocal of a share.
	minExpiredAtOnce = 16
	maxExpiredShare  = 20
)

// expiredAtOnce returns how many of that many records one look may remove by age.
func expiredAtOnce(held int) int { return max(minExpiredAtOnce, held/maxExpiredShare) }

// Options are a retention's dependencies and configuration.
type Options struct {
	Limits config.Retention
	// Namespace is Epitaph's own, where records wait for the archive: see [reason.HandedOverKey].
	// The archive removes them itself; the manager, only beyond their age and number.
	Namespace string
	// Cache holds NodeObituaries and OwnerObituaries.
	Cache client.Reader
	// API reads PodObituaries from the API server, and removes records.
	API client.Client
	// Archived returns which records of one kind are archived as they are. If it is set, no others
	// are removed.
	Archived func(ctx context.Context, all []client.Object) (map[types.UID]bool, error)
	// Bound says that whoever archives removes records, and that these limits are wider: what they
	// remove may be archived nowhere.
	Bound bool
	// Now is the time by which records are old; nil is [audit.SharedNow].
	Now        func(context.Context) (time.Time, error)
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Retention is a runnable of the manager.
type Retention struct {
	Options
	expired *prometheus.CounterVec
	guard   *guard.Guard

	mu sync.Mutex
	// grown are the namespaces that got an obituary since the last look.
	grown map[string]bool
}

// New returns a Retention. Add it to the manager.
func New(o Options) (*Retention, error) {
	expired, err := newExpired(o.Registerer)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(o.Registerer, "retention", o.Log)
	return &Retention{Options: o, expired: expired, guard: g, grown: map[string]bool{}}, err
}

// Grew schedules an early pruning of a namespace that got an obituary.
func (r *Retention) Grew(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.grown[namespace] = true
}

func (r *Retention) takeGrown() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	namespaces := slices.Sorted(maps.Keys(r.grown))
	clear(r.grown)
	return namespaces
}

// NeedLeaderElection keeps two replicas from doing the same work. Nothing would break if they did.
func (*Retention) NeedLeaderElection() bool { return true }

// Start removes what is too old or too many until ctx is done.
func (r *Retention) Start(ctx context.Context) error {
	tick := r.Clock.NewTicker(lookEvery)
	defer tick.Stop()
	for look := 0; ; look++ {
		err := r.guard.Do("look", func() error { return r.look(ctx, look%lookAtAllEvery == 0) })
		if err != nil && ctx.Err() == nil {
			r.Log.Error(err, "retention failed, will be retried")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
	}
}

func (r *Retention) look(ctx context.Context, atAll bool) error {
	grown := r.takeGrown()
	if atAll {
		return r.Prune(ctx)
	}
	var failures []error
	for _, namespace := range grown {
		failures = append(failures, r.PruneNamespace(ctx, namespace))
	}
	return errors.Join(failures...)
}

// Prune removes what is too many or too old, of nodes, of owners and of the pods of all namespaces.
func (r *Retention) Prune(ctx context.Context) error {
	// Without the API server's time, now is zero, and nothing is old.
	now, err := r.now(ctx)
	return errors.Join(err, r.prunePods(ctx, metav1.NamespaceAll, now), r.pruneNodes(ctx, now),
		r.pruneOwners(ctx, now))
}

func (r *Retention) now(ctx context.Context) (time.Time, error) {
	if r.Now != nil {
		return r.Now(ctx)
	}
	return audit.SharedNow(ctx, r.Clock, r.API)
}

// PruneNamespace removes the surplus of the pods of one namespace.
func (r *Retention) PruneNamespace(ctx context.Context, namespace string) error {
	return r.prunePods(ctx, namespace, time.Time{})
}

// askAtOnce bounds how many records are asked about at once.
const askAtOnce = 500

// A doomed record is one that is too old or one too many.
type doomed struct {
	by string
	// n is its place in the list that it is from.
	n int
}

// removeAll removes the doomed, the oldest first, but of those that are too old only a share. Where
// there is an archive, what it does not have stays, and takes no part of the share.
func (r *Retention) removeAll(ctx context.Context, of string, all []doomed, share int,
	object func(n int) client.Object) error {
	var failures []error
	for chunk := range slices.Chunk(all, askAtOnce) {
		objects := make([]client.Object, len(chunk))
		for n, d := range chunk {
			objects[n] = object(d.n)
		}
		stay, err := r.unarchived(ctx, objects)
		if err != nil {
			return errors.Join(append(failures, err)...)
		}
		for n, d := range chunk {
			if stay[objects[n].GetUID()] {
				continue
			}
			if d.by == byAge {
				if share == 0 {
					continue
				}
				share--
			}
			failures = append(failures, r.remove(ctx, of, d.by, objects[n]))
		}
	}
	return errors.Join(failures...)
}

// unarchived returns which of the records wait for the archive.
func (r *Retention) unarchived(ctx context.Context,
	all []client.Object) (map[types.UID]bool, error) {
	if r.Archived == nil {
		return nil, nil
	}
	archived, err := r.Archived(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("ask whether %d records are archived: %w", len(all), err)
	}
	stay := map[types.UID]bool{}
	for _, o := range all {
		if uid := o.GetUID(); !archived[uid] {
			stay[uid] = true
		}
	}
	return stay, nil
}

func (r *Retention) remove(ctx context.Context, of, by string, o client.Object) error {
	uid := o.GetUID()
	only := client.Preconditions{UID: &uid}
	if version := o.GetResourceVersion(); of == ofOwner || r.Archived != nil {
		only.ResourceVersion = &version // It may have been renewed or amended meanwhile.
	}
	if r.Bound {
		by = unarchived
		r.Log.Info("record removed that may not be archived: the archive is behind, and etcd has a bound",
			"of", of, "namespace", o.GetNamespace(), "name", o.GetName())
	}
	err := r.API.Delete(ctx, o, only)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // somebody else removed it, or another has its name
	}
	if err != nil {
		return fmt.Errorf("remove the obituary %s of a %s: %w", client.ObjectKeyFromObject(o), of,
			err)
	}
	r.expired.WithLabelValues(of, by).Inc()
	r.Log.V(1).Info("obituary removed", "of", of, "by", by, "namespace", o.GetNamespace(),
		"name", o.GetName())
	return nil
}
