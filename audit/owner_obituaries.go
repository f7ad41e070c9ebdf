package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// ownersEvery is how often the records of owners are tidied.
	ownersEvery = 30 * time.Second
	// maxOwnersAsked bounds how many owners one look reads. An owner deleted longer ago than
	// askedUntil is not read: if it still lives, a finalizer keeps it.
	maxOwnersAsked = 200
	askedUntil     = time.Hour
	// ownersTimeout bounds the wait for the cache, which has no records while it may not list them.
	ownersTimeout = 10 * time.Second
	// The bounds of the definition.
	maxOwnerKindBytes, maxOwnerGroupBytes, maxDeletedBytes = 63, 317, 400
)

// OwnerObituaries remembers who deleted the owners of pods. It is safe for concurrent use by any
// number of replicas.
type OwnerObituaries struct {
	// API reads from the API server, and writes OwnerObituaries.
	API client.Client
	// Cache holds OwnerObituaries, trimmed by [TrimOwnerObituary]. Only the leader reads it.
	Cache client.Reader
	// After is how long an owner may live on with a record before that is removed.
	After time.Duration
	Clock clock.WithTicker
	Guard *guard.Guard
	Log   logr.Logger

	// settled are the records that stay: whose owner is gone, or going, or was deleted too long
	// ago. To lose them costs a look at each.
	settled map[types.UID]deletion
}

// A deletion is one that a record tells of. The next owner of the name renews the record.
type deletion struct {
	owner types.UID
	unix  int64
}

func deletionIn(s v1alpha1.OwnerObituarySpec) deletion {
	return deletion{s.UID, s.Removed.Unix()}
}

// TrimOwnerObituary makes a cache keep no more of OwnerObituaries than their age and whose they
// are.
func TrimOwnerObituary(o any) (any, error) {
	if r, ok := o.(*v1alpha1.OwnerObituary); ok {
		r.ManagedFields = nil
		r.Spec = v1alpha1.OwnerObituarySpec{APIVersion: r.Spec.APIVersion, Kind: r.Spec.Kind,
			Namespace: r.Spec.Namespace, Name: r.Spec.Name, UID: r.Spec.UID,
			Removed: r.Spec.Removed, Did: r.Spec.Did}
	}
	return o, nil
}

// Record records who asked for the deletion of an owner. Of several users, the last one counts.
func (o *OwnerObituaries) Record(ctx context.Context, s v1alpha1.OwnerObituarySpec) error {
	s.Removed = metav1.NewTime(o.Clock.Now().Truncate(time.Second))
	s.APIVersion, s.Kind = reason.CleanTo(s.APIVersion, maxOwnerGroupBytes),
		reason.CleanTo(s.Kind, maxOwnerKindBytes)
	s.Deleted, s.Application = reason.CleanTo(s.Deleted, maxDeletedBytes),
		reason.CleanTo(s.Application, maxDeletedBytes)
	s.DeletedBy, s.Reason = reason.CleanTo(s.DeletedBy, reason.MaxByBytes),
		reason.CleanTo(s.Reason, reason.MaxTextBytes)
	wanted := &v1alpha1.OwnerObituary{ObjectMeta: metav1.ObjectMeta{
		Name: obituary.OwnerName(kindOf(s), s.Namespace, s.Name)}, Spec: s}
	err := o.API.Create(ctx, wanted)
	if !apierrors.IsAlreadyExists(err) {
		return wrapOwner("record", s, err)
	}
	held := &v1alpha1.OwnerObituary{}
	if err := o.API.Get(ctx, client.ObjectKeyFromObject(wanted), held); err != nil {
		return wrapOwner("read the record of", s, err)
	}
	if same := held.Spec; sameDeletion(same, s) {
		return nil
	}
	held.Spec = s
	return wrapOwner("renew the record of", s, o.API.Update(ctx, held))
}

// sameDeletion reports whether both are of one deletion: an admission asks more than once.
func sameDeletion(a, b v1alpha1.OwnerObituarySpec) bool {
	near := b.Removed.Sub(a.Removed.Time) <= renewAfter
	a.Removed, b.Removed = metav1.Time{}, metav1.Time{}
	a.Created, b.Created = metav1.Time{}, metav1.Time{} // the UID identifies the owner as well
	return near && a == b
}

func kindOf(s v1alpha1.OwnerObituarySpec) reason.Kind { return reason.KindIn(s.APIVersion, s.Kind) }

func wrapOwner(what string, s v1alpha1.OwnerObituarySpec, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s the end of %s %s/%s: %w", what, s.Kind, s.Namespace, s.Name, err)
}

// Find returns the record of an owner of that name; nil if there is none.
func (o *OwnerObituaries) Find(ctx context.Context, kind reason.Kind, namespace,
	name string) (*v1alpha1.OwnerObituarySpec, error) {
	held := &v1alpha1.OwnerObituary{}
	err := o.API.Get(ctx,
		types.NamespacedName{Name: obituary.OwnerName(kind, namespace, name)}, held)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the record of %s %s/%s: %w", kind.Kind, namespace, name, err)
	case kindOf(held.Spec) != kind || held.Spec.Namespace != namespace || held.Spec.Name != name:
		return nil, nil // of another owner whose name has the same hash
	}
	return &held.Spec, nil
}

// NeedLeaderElection keeps two replicas from doing the same work. Nothing would break if they did.
func (*OwnerObituaries) NeedLeaderElection() bool { return true }

// Start takes records back until ctx is done.
func (o *OwnerObituaries) Start(ctx context.Context) error {
	tick := o.Clock.NewTicker(min(ownersEvery, o.After))
	defer tick.Stop()
	for {
		o.Guard.Run("take back", func() {
			if err := o.TakeBack(ctx); err != nil && ctx.Err() == nil {
				o.Log.Error(err, "records of owners not read, will be retried")
			}
		})
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
	}
}

// TakeBack removes the records whose owner lives on: its deletion was refused, and a later one must
// not be explained by it. One that was scaled lives on; what is said of it is removed
// in the end. It asks the API server for nothing while there is no record to decide about. It is
// not for concurrent use.
func (o *OwnerObituaries) TakeBack(ctx context.Context) error {
	all := &v1alpha1.OwnerObituaryList{}
	listing, cancel := context.WithTimeout(ctx, ownersTimeout)
	defer cancel()
	if err := o.Cache.List(listing, all, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the records of owners: %w", err)
	}
	settled, open := map[types.UID]deletion{}, []v1alpha1.OwnerObituary{}
	for _, r := range all.Items {
		switch is := deletionIn(r.Spec); {
		case o.settled[r.UID] == is:
			settled[r.UID] = is
		case o.Clock.Since(r.Spec.Removed.Time) > o.after(r.Spec):
			open = append(open, r)
		}
	}
	o.settled = settled
	if len(open) == 0 {
		return nil
	}
	now, err := SharedNow(ctx, o.Clock, o.API)
	if err != nil {
		return err
	}
	var failures []error
	asked := 0
	for n := range open {
		r := &open[n]
		age := now.Sub(r.Spec.Removed.Time)
		switch {
		case age < o.after(r.Spec):
		case r.Spec.Did != "":
			failures = append(failures, o.takeBack(ctx, r.DeepCopy()))
		case age >= askedUntil:
			o.settled[r.UID] = deletionIn(r.Spec)
		case asked < maxOwnersAsked:
			asked++
			failures = append(failures, o.decide(ctx, r.DeepCopy()))
		}
	}
	return errors.Join(failures...)
}

// after is how long a record stays while its owner lives. One that was scaled is meant to.
func (o *OwnerObituaries) after(s v1alpha1.OwnerObituarySpec) time.Duration {
	if s.Did != "" {
		return askedUntil
	}
	return o.After
}

// decide takes the record back or settles it. Where its owner cannot be read, it does neither.
func (o *OwnerObituaries) decide(ctx context.Context, r *v1alpha1.OwnerObituary) error {
	switch lives, err := o.lives(ctx, r.Spec); {
	case err != nil:
		return fmt.Errorf("look whether the owner of a record lives on: %w", err)
	case lives:
		return o.takeBack(ctx, r)
	default:
		o.settled[r.UID] = deletionIn(r.Spec)
		return nil
	}
}

func (o *OwnerObituaries) takeBack(ctx context.Context, r *v1alpha1.OwnerObituary) error {
	o.Log.Info("an owner lives on, so its record is removed", "kind", r.Spec.Kind,
		"namespace", r.Spec.Namespace, "name", r.Spec.Name)
	version := r.ResourceVersion
	err := o.API.Delete(ctx, r, client.Preconditions{UID: &r.UID, ResourceVersion: &version})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("remove the record of an owner: %w", err)
	}
	return nil
}

// lives reports whether the very owner exists and is not being deleted. One that may not be read is
// believed not to.
func (o *OwnerObituaries) lives(ctx context.Context, s v1alpha1.OwnerObituarySpec) (bool, error) {
	owner := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: s.APIVersion,
		Kind: s.Kind}}
	err := o.API.Get(ctx, types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, owner)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err), meta.IsNoMatchError(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return owner.UID == s.UID && owner.DeletionTimestamp == nil, nil
}
