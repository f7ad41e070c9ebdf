package follow

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// lookEvery is how often what was handed over is looked for.
	lookEvery = 15 * time.Second
	// settled is after how long nobody amends a record because of what its pod was preempted for
	// (two minutes): what was handed over stays that long after it was written.
	settled = 3 * time.Minute
)

// handedOver reports whether a record waits in our namespace for the archive. Who may write records
// there may speak for every namespace; elsewhere the label means nothing.
func (f *Follower) handedOver(o runtime.Object) bool {
	record, ok := o.(*v1alpha1.PodObituary)
	return ok && record.Namespace == f.Namespace && record.Labels[reason.HandedOverKey] != ""
}

// takeOver stores what is handed over, from time to time, and removes it once it is settled.
func (f *Follower) takeOver(ctx context.Context) {
	r := &reader{Follower: f, kind: archive.PodKind, list: &v1alpha1.PodObituaryList{}}
	for ctx.Err() == nil {
		err := f.guard.Do("records that are handed over", func() error { return r.lookForAll(ctx) })
		if err != nil && ctx.Err() == nil {
			f.metrics.failed(r.kind)
			f.Log.Error(err, "records that are handed over stay in the cluster, will be retried")
		}
		pause.For(ctx, f.Clock, lookEvery)
	}
}

func (r *reader) lookForAll(ctx context.Context) error {
	for next, many := "", false; ; {
		page := &v1alpha1.PodObituaryList{}
		err := r.API.List(ctx, page, client.InNamespace(r.Namespace),
			client.HasLabels{reason.HandedOverKey}, client.Limit(pageSize), client.Continue(next))
		if err != nil {
			return fmt.Errorf("list what is handed over: %w", err)
		}
		many = many || page.Continue != ""
		if err := r.take(ctx, page.Items, many); err != nil {
			return err
		}
		if next = page.Continue; next == "" {
			return nil
		}
	}
}

// take stores records that were handed over, and removes those that it finds stored and settled; if
// there are many, also those that are not settled: the cluster holds a bounded number.
//
// The recorder may have written the record of a pod in the pod's namespace and been killed before
// it knew: then its successor hands it over. So nothing is taken before all that was written
// earlier is stored, and a record that is known by then is not stored again.
func (r *reader) take(ctx context.Context, all []v1alpha1.PodObituary, many bool) error {
	if len(all) == 0 {
		return nil
	}
	at, err := r.position(ctx)
	if err != nil {
		return err
	}
	objects := make([]client.Object, len(all))
	for n := range all {
		objects[n] = &all[n]
	}
	known, err := Archived(r.Store, r.Cluster)(ctx, objects)
	if err != nil || at.Epoch == 0 {
		return err
	}
	b := r.batch(archive.Position{})
	for n := range all {
		o := &all[n]
		if known[o.UID] {
			continue
		}
		revision, err := archive.RevisionOf(o.ResourceVersion)
		if err != nil {
			return err
		}
		if revision > at.Revision {
			continue
		}
		if known[o.UID], err = r.storedBefore(ctx, o); err != nil {
			return err
		}
		if !known[o.UID] {
			r.addAs(&b, at.Epoch, asWritten(o), false)
		}
	}
	if len(b.Records) > 0 {
		if err := r.store(ctx, b); err != nil {
			return err
		}
	}
	return r.dismiss(ctx, all, known, many)
}

// asWritten returns a record as it would be in the namespace of the pod.
func asWritten(o *v1alpha1.PodObituary) *v1alpha1.PodObituary {
	o = o.DeepCopy()
	o.Namespace = o.Labels[reason.HandedOverKey]
	delete(o.Labels, reason.HandedOverKey)
	return o
}

// storedBefore reports whether the archive has another record of that pod's end.
func (r *reader) storedBefore(ctx context.Context, o *v1alpha1.PodObituary) (bool, error) {
	page, err := r.Store.List(ctx, archive.Query{Cluster: r.Cluster, Kind: r.kind,
		Namespace: o.Labels[reason.HandedOverKey], Subject: string(o.Spec.PodUID), Limit: 2})
	if err != nil {
		return false, err
	}
	for _, known := range page.Records {
		if known.UID != string(o.UID) {
			return true, nil
		}
	}
	return false, nil
}

// dismiss removes from the cluster what is known to the archive, and settled unless there are many.
func (r *reader) dismiss(ctx context.Context, all []v1alpha1.PodObituary,
	known map[types.UID]bool, many bool) error {
	now, err := r.Now(ctx)
	if err != nil {
		return err
	}
	for n := range all {
		o := &all[n]
		young := now.Sub(o.CreationTimestamp.Time) <= settled
		if !known[o.UID] || young && !many {
			continue
		}
		err := r.API.Delete(ctx, o, client.Preconditions{UID: &o.UID,
			ResourceVersion: &o.ResourceVersion})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("remove the record %s, which is archived: %w",
				client.ObjectKeyFromObject(o), err)
		}
	}
	return nil
}
