package netconsole

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/guard"
)

const (
	// leaseTimeout bounds one read of a Lease.
	leaseTimeout = 2 * time.Second
	// quietAPI is how long the API server may be silent before we ask whether it is there.
	quietAPI = 2 * time.Second
	// maxUnobserved is how long the API server may be silent before no node is blamed for its own
	// silence during that time.
	maxUnobserved = 10 * time.Second
	// maxLeaseDuration bounds the duration that a Lease may claim.
	maxLeaseDuration = 10 * time.Minute
)

// A renewal is what is known of a node's Lease. The clocks of nodes are not trusted: what counts is
// that the renewal changed, and for how long, by our clock, it has not.
type renewal struct {
	// id identifies the last renewal, and changed is when it was first seen; renewed is set if
	// another one was seen before.
	id      string
	changed time.Time
	renewed bool
	// lasts is the Lease's own duration.
	lasts time.Duration
}

func renewalOf(l *coordinationv1.Lease) renewal {
	var r renewal
	if l.Spec.RenewTime != nil {
		r.id = l.Spec.RenewTime.Format(time.RFC3339Nano)
	}
	if l.Spec.LeaseDurationSeconds != nil {
		r.lasts = min(time.Duration(max(*l.Spec.LeaseDurationSeconds, 0))*time.Second,
			maxLeaseDuration)
	}
	return r
}

// leases follow the Leases of nodes by a watch. A missing renewal means something only while the
// API server is seen to answer: when it is away, nobody can renew.
type leases struct {
	clock  clock.PassiveClock
	live   client.Reader
	synced func() bool

	mu       sync.Mutex
	renewals map[string]renewal
	// heard is when something last came from the API server; unbroken is since when it has come
	// without a gap.
	heard, unbroken time.Time
	asking          bool
}

func newLeases(clk clock.PassiveClock, live client.Reader) *leases {
	return &leases{clock: clk, live: live, synced: func() bool { return false },
		renewals: map[string]renewal{}}
}

// TrimLease makes a cache keep only the fields of a node's Lease that are read.
func TrimLease(object any) (any, error) {
	l, ok := object.(*coordinationv1.Lease)
	if !ok {
		return object, nil
	}
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name, UID: l.UID,
			ResourceVersion: l.ResourceVersion},
		Spec: coordinationv1.LeaseSpec{RenewTime: l.Spec.RenewTime,
			LeaseDurationSeconds: l.Spec.LeaseDurationSeconds},
	}, nil
}

// watch follows the Leases until stop is called. It does not wait for them: signed panics need
// none.
func (l *leases) watch(ctx context.Context, informers Informers,
	g *guard.Guard) (stop func(), err error) {
	informer, err := informers.GetInformer(ctx, &coordinationv1.Lease{},
		cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watch the Leases of nodes: %w", err)
	}
	registration, err := informer.AddEventHandler(g.Handler("event of a Lease",
		toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(object any) { l.see(nil, object) },
			UpdateFunc: l.see,
			DeleteFunc: l.lose,
		}))
	if err != nil {
		return nil, fmt.Errorf("watch the Leases of nodes: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = registration.HasSynced
	return func() { _ = informer.RemoveEventHandler(registration) }, nil
}

// see records a Lease. A resync, which shows the same version again, says nothing about the API
// server.
func (l *leases) see(before, object any) {
	lease, ok := object.(*coordinationv1.Lease)
	if !ok || lease.Namespace != corev1.NamespaceNodeLease {
		return
	}
	if was, ok := before.(*coordinationv1.Lease); ok &&
		was.ResourceVersion == lease.ResourceVersion {
		return
	}
	l.note(lease)
}

func (l *leases) lose(object any) {
	if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	if lease, ok := object.(*coordinationv1.Lease); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.renewals, lease.Name)
		l.answered()
	}
}

func (l *leases) note(lease *coordinationv1.Lease) {
	now := renewalOf(lease)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered()
	was, known := l.renewals[lease.Name]
	if known && was.id == now.id {
		now.changed, now.renewed = was.changed, was.renewed
	} else {
		now.changed, now.renewed = l.clock.Now(), known
	}
	l.renewals[lease.Name] = now
}

// answered records that the API server is there. The caller holds the lock.
func (l *leases) answered() {
	now := l.clock.Now()
	if now.Sub(l.heard) > maxUnobserved {
		l.unbroken = now
	}
	l.heard = now
}

// A leaseView is what is known of a node's Lease at a moment.
type leaseView struct {
	renewal
	// found is set if there is a Lease that was ever renewed; known if the Leases have been read at
	// all.
	found, known bool
	// unbroken is since when the API server has been seen to answer.
	unbroken time.Time
}

// known reports whether the Leases have been read.
func (l *leases) known() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced()
}

func (l *leases) of(node string) leaseView {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := leaseView{unbroken: l.unbroken, known: l.synced()}
	v.renewal, v.found = l.renewals[node]
	v.found = v.found && v.id != ""
	return v
}

// ask checks whether the API server is there by reading the node's Lease, unless it has spoken
// lately. One check at a time does for all cases.
func (l *leases) ask(ctx context.Context, node string) {
	l.mu.Lock()
	lately := l.asking || l.clock.Since(l.heard) < quietAPI
	l.asking = l.asking || !lately
	l.mu.Unlock()
	if lately {
		return
	}
	_, _ = l.read(ctx, node)
	l.mu.Lock()
	l.asking = false
	l.mu.Unlock()
}

// read fetches the node's Lease from the API server, records it, and returns the ID of its last
// renewal: empty, without an error, if there is no Lease.
func (l *leases) read(ctx context.Context, node string) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	lease := &coordinationv1.Lease{}
	err = l.live.Get(ctx, types.NamespacedName{Namespace: corev1.NamespaceNodeLease, Name: node},
		lease)
	switch {
	case apierrors.IsNotFound(err):
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answered()
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the Lease of node %s: %w", node, err)
	}
	l.note(lease)
	return renewalOf(lease).id, nil
}
