package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/internal/pause"
)

const (
	// pageSize bounds what a list returns, and a batch.
	pageSize = 500
	// linger is how long a batch waits for further events: one transaction for all of them.
	linger = 200 * time.Millisecond
	// watchSeconds is how long one watch lasts, as client-go's reflector has it.
	watchSeconds = 450
)

// Options are a follower's dependencies and configuration.
type Options struct {
	// Cluster is the cluster's name in the archive.
	Cluster string
	// Namespace is Epitaph's own, where records are handed over.
	Namespace string
	Store     archive.Store
	API       client.WithWatch
	// Grown is told of each namespace whose pods have got records.
	Grown func(namespace string)
	// Now is the time by which what was handed over is settled.
	Now        func(context.Context) (time.Time, error)
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Follower is a runnable of a manager.
type Follower struct {
	Options
	guard   *guard.Guard
	metrics metrics
}

// New returns a Follower. Start it on one replica: nothing would break if two did the same work.
func New(o Options) (*Follower, error) {
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	g, err := guard.New(o.Registerer, "archive", o.Log)
	return &Follower{Options: o, guard: g, metrics: m}, err
}

// kinds are the lists that are followed.
func kinds() map[archive.Kind]client.ObjectList {
	return map[archive.Kind]client.ObjectList{
		archive.PodKind:   &v1alpha1.PodObituaryList{},
		archive.NodeKind:  &v1alpha1.NodeObituaryList{},
		archive.OwnerKind: &v1alpha1.OwnerObituaryList{},
	}
}

// Start follows all kinds until ctx is done.
func (f *Follower) Start(ctx context.Context) error {
	var all errgroup.Group
	for kind, list := range kinds() {
		all.Go(func() error {
			(&reader{Follower: f, kind: kind, list: list}).follow(ctx)
			return nil
		})
	}
	all.Go(func() error {
		f.takeOver(ctx)
		return nil
	})
	return all.Wait()
}

// A reader follows one kind.
type reader struct {
	*Follower
	kind archive.Kind
	list client.ObjectList // empty: its type alone counts
	// in is the incarnation of the store that told the position.
	in archive.Incarnation
	// stored counts the batches, so that a failure after progress begins its pauses anew.
	stored int
}

// backoff says how long a store or an API server that failed is left alone: with the jitter, 30
// seconds at most.
func backoff() wait.Backoff {
	return wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8,
		Cap: 25 * time.Second}
}

func (r *reader) follow(ctx context.Context) {
	for pauses := backoff(); ctx.Err() == nil; {
		before := r.stored
		err := r.guard.Do("records of a "+string(r.kind), func() error { return r.run(ctx) })
		if err == nil || ctx.Err() != nil {
			continue
		}
		if r.stored != before {
			pauses = backoff()
		}
		r.metrics.failed(r.kind)
		r.Log.Error(err, "records are not archived for now, will be retried", "of", r.kind)
		pause.For(ctx, r.Clock, pauses.Step())
	}
}

// run reads from the stored position until something fails.
func (r *reader) run(ctx context.Context) error {
	at, err := r.position(ctx)
	for err == nil && ctx.Err() == nil {
		if at, err = r.inThisHistory(ctx, at); err != nil {
			return err
		}
		at, err = r.watch(ctx, at)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			r.metrics.gap(r.kind)
			r.Log.Info("the API server no longer remembers what was read last: records are listed",
				"of", r.kind)
			at, err = r.readAll(ctx, at.Epoch)
		}
	}
	return err
}

// position returns the stored position, from which the batches go on.
func (r *reader) position(ctx context.Context) (at archive.Position, err error) {
	if r.in, err = r.Store.Incarnation(ctx); err != nil {
		return at, err
	}
	return r.Store.Position(ctx, r.Cluster, r.kind)
}

// inThisHistory returns a position to watch from. One that is in the future belongs to a history
// that was replaced by a backup: a watch from there would say nothing until it is reached, and then
// leave out what came before. So each watch begins with that question.
func (r *reader) inThisHistory(ctx context.Context, at archive.Position) (archive.Position, error) {
	if at.Epoch == 0 {
		return r.readAll(ctx, 1)
	}
	now, err := r.revision(ctx)
	if err != nil || now >= at.Revision {
		return at, err
	}
	r.Log.Info("the cluster was restored from a backup: its records are read anew", "of", r.kind,
		"stored", at.Revision, "now", now)
	return r.readAll(ctx, at.Epoch+1)
}

func (r *reader) empty() client.ObjectList { return r.list.DeepCopyObject().(client.ObjectList) }

// revision returns the newest resource version.
func (r *reader) revision(ctx context.Context) (int64, error) {
	one := r.empty()
	if err := r.API.List(ctx, one, client.Limit(1)); err != nil {
		return 0, fmt.Errorf("list obituaries: %w", err)
	}
	return archive.RevisionOf(one.GetResourceVersion())
}

// readAll stores what there is, page by page, and then the position: one that is interrupted begins
// anew.
func (r *reader) readAll(ctx context.Context, epoch int64) (archive.Position, error) {
	next := ""
	for {
		page := r.empty()
		err := r.API.List(ctx, page, client.Limit(pageSize), client.Continue(next))
		if err != nil {
			return archive.Position{}, fmt.Errorf("list obituaries: %w", err)
		}
		items, err := meta.ExtractList(page)
		if err != nil {
			return archive.Position{}, fmt.Errorf("read a list of obituaries: %w", err)
		}
		b := r.batch(archive.Position{})
		for _, o := range items {
			r.add(&b, epoch, o, false)
		}
		if next = page.GetContinue(); next == "" {
			revision, err := archive.RevisionOf(page.GetResourceVersion())
			if err != nil {
				return archive.Position{}, err
			}
			b.Reached = archive.Position{Epoch: epoch, Revision: revision}
			return b.Reached, r.store(ctx, b)
		}
		if err := r.store(ctx, b); err != nil {
			return archive.Position{}, err
		}
	}
}

func (r *reader) batch(reached archive.Position) archive.Batch {
	return archive.Batch{Cluster: r.Cluster, Kind: r.kind, In: r.in, Reached: reached}
}

func (r *reader) add(b *archive.Batch, epoch int64, o runtime.Object, gone bool) {
	if r.handedOver(o) {
		return // takeOver stores it, once what was written before it is stored
	}
	r.addAs(b, epoch, o, gone)
}

func (r *reader) addAs(b *archive.Batch, epoch int64, o runtime.Object, gone bool) {
	record, err := archive.Of(r.Cluster, epoch, o.(client.Object))
	if err != nil { // an API server of ours has no such object
		r.Log.Error(err, "record cannot be archived", "of", r.kind)
		r.metrics.count(r.kind, refused, 1)
		return
	}
	record.Gone = gone
	b.Records = append(b.Records, record)
}

// watch stores events until the watch ends, and returns the position that is stored.
func (r *reader) watch(ctx context.Context, at archive.Position) (archive.Position, error) {
	w, err := r.API.Watch(ctx, r.empty(), &client.ListOptions{Raw: &metav1.ListOptions{
		ResourceVersion: fmt.Sprint(at.Revision), AllowWatchBookmarks: true,
		TimeoutSeconds: ptr.To(int64(watchSeconds)),
	}})
	if err != nil {
		return at, fmt.Errorf("watch obituaries: %w", err)
	}
	defer w.Stop()
	for {
		b, open, err := r.collect(ctx, w.ResultChan(), at)
		if b.Reached != at {
			if err := r.store(ctx, b); err != nil {
				return at, err
			}
			at = b.Reached
		}
		if err != nil || !open {
			return at, err
		}
	}
}

// collect waits for an event, and a little for those that follow it.
func (r *reader) collect(ctx context.Context, events <-chan watch.Event,
	at archive.Position) (b archive.Batch, open bool, err error) {
	b = r.batch(at)
	var enough <-chan time.Time
	for len(b.Records) < pageSize {
		select {
		case <-ctx.Done():
			return b, false, nil
		case <-enough:
			return b, true, nil
		case e, open := <-events:
			if !open {
				return b, false, nil
			}
			if e.Type == watch.Error {
				return b, false, fmt.Errorf("watch obituaries: %w", apierrors.FromObject(e.Object))
			}
			o, ok := e.Object.(client.Object)
			if !ok {
				continue
			}
			revision, err := archive.RevisionOf(o.GetResourceVersion())
			if err != nil {
				return b, false, err
			}
			b.Reached.Revision = revision
			if e.Type != watch.Bookmark {
				r.add(&b, at.Epoch, o, e.Type == watch.Deleted)
			}
			if enough == nil {
				timer := r.Clock.NewTimer(linger)
				defer timer.Stop()
				enough = timer.C()
			}
		}
	}
	return b, true, nil
}

// store stores a batch. Where the store refuses something of it, the rest is stored in halves, and
// the position at last.
func (r *reader) store(ctx context.Context, b archive.Batch) error {
	err := r.Store.Put(ctx, b)
	switch {
	case err == nil:
		r.stored++
		r.metrics.count(r.kind, stored, len(b.Records))
		if b.Reached.Epoch != 0 {
			r.metrics.reached(r.kind, r.Clock.Now())
		}
		r.tell(b)
		return nil
	case !errors.Is(err, archive.ErrRefused):
		return err
	case len(b.Records) == 0:
		return err
	case len(b.Records) == 1:
		r.Log.Error(err, "the archive refuses a record, it is left out", "of", r.kind, "uid",
			b.Records[0].UID)
		r.metrics.count(r.kind, refused, 1)
		b.Records = nil
		return r.store(ctx, b)
	}
	half := len(b.Records) / 2
	first := r.batch(archive.Position{})
	first.Records, b.Records = b.Records[:half], b.Records[half:]
	if err := r.store(ctx, first); err != nil {
		return err
	}
	return r.store(ctx, b)
}

func (r *reader) tell(b archive.Batch) {
	if r.kind != archive.PodKind {
		return
	}
	for n := range b.Records {
		if !b.Records[n].Gone {
			r.Grown(b.Records[n].Namespace)
		}
	}
}
