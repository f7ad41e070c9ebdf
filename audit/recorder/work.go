package recorder

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An outcome is what became of an obituary.
type outcome string

const (
	// written: it is there, and was not before.
	written outcome = "written"
	// repeated: it was there already, the predecessor's or our own of before a crash.
	repeated outcome = "repeated"
	// namespaceGone: nothing can be created in a namespace that is being deleted; its obituaries
	// would go with it.
	namespaceGone outcome = "namespace-gone"
	// notInstalled: the API server does not know such records. Pods that leave meanwhile are not
	// kept for later: there may be any number of them.
	notInstalled outcome = "not-installed"
	// refused: the API server will not have it, for a quota or a policy of somebody else's. To
	// insist would hold up all others.
	refused outcome = "refused"
	// again: not decided, tried again.
	again outcome = ""
)

// lateStep is how late an obituary may be before one more is written beside it.
const lateStep = time.Second

// work records what comes. One obituary is written at a time as long as that keeps up: pods that
// leave in masses are being terminated at that moment, mostly by us, and the API server's time is
// theirs.
func (r *Recorder) work(ctx context.Context) {
	var writing sync.WaitGroup
	defer writing.Wait()
	busy, done := 0, make(chan struct{})
	for {
		select {
		case <-ctx.Done():
			return
		case <-done:
			busy--
			continue
		case d := <-r.gone:
			for busy >= r.seats(d.left) {
				select {
				case <-ctx.Done():
					return
				case <-done:
					busy--
				case <-r.Clock.After(lateStep):
				}
			}
			busy++
			writing.Go(func() {
				r.record(ctx, d)
				select {
				case <-ctx.Done():
				case done <- struct{}{}:
				}
			})
		}
	}
}

// seats is how many obituaries may be written at the same time when the next one is of a pod that
// left then.
func (r *Recorder) seats(left time.Time) int {
	return min(r.Config.Workers, 1+int(max(0, r.Clock.Since(left))/lateStep))
}

// record records one pod, and tries until it is done.
func (r *Recorder) record(ctx context.Context, d departure) {
	if err := r.retry(ctx, "record pod "+d.pod.Namespace+"/"+d.pod.Name,
		func() error { return r.recordOnce(ctx, &d) }); err == nil {
		r.progress.finish(d.ticket)
	}
}

// recordOnce counts a departure, and records it if it is to be. An error means that it is to be
// repeated.
func (r *Recorder) recordOnce(ctx context.Context, d *departure) error {
	if d.missed != nil {
		d.pod, d.missed = r.lastState(ctx, d.pod, *d.missed), nil
	}
	w, _ := reason.ReadWritten(d.pod.Annotations)
	pod, by := r.told(ctx, *d)
	// a repetition finds no mark any more
	d.pod, d.by, d.supposed = pod, cmp.Or(d.by, by), d.supposed || w.Supposed
	why, from, err := r.why(ctx, *d)
	if err != nil {
		return err
	}
	if !r.records(why.Code) {
		r.metrics.leave(why, from)
		return nil
	}
	o, err := r.compose(ctx, *d, why)
	if err != nil {
		return err
	}
	became, err := r.write(ctx, o)
	if became == again {
		r.metrics.retries.Inc()
		return err
	}
	r.metrics.obituaries.WithLabelValues(string(became)).Inc()
	if became == refused {
		r.Log.Error(err, "obituary refused", "namespace", o.Namespace, "pod", o.Spec.PodName)
	}
	if became == written {
		r.metrics.lag.Observe(r.Clock.Since(d.left).Seconds())
		r.Grown(o.Namespace)
		r.announce(ctx, d.pod, o, from)
	}
	if became != repeated {
		r.metrics.leave(why, from)
	}
	return nil
}

// records tells whether pods that left for this have an obituary.
func (r *Recorder) records(c reason.Code) bool { return r.wanted[c.Class()] || r.codes[c] }

func (r *Recorder) compose(ctx context.Context, d departure,
	why reason.Reason) (*v1alpha1.PodObituary, error) {
	o := obituary.Of(d.pod, why, d.left)
	o.Spec.DeletedBy = d.by
	o.Spec.Owners = r.ownersOf(ctx, d.pod)
	why.Supposed = (d.supposed || why.Supposed) && why.Preemptor() != ""
	o.Spec.Preemption = obituary.PreemptionOf(d.pod, why)
	var err error
	o.Spec.NodeObituary, err = r.nodeObituary(ctx, d.pod, why)
	return o, err
}

// write creates the obituary, and tells what became of it. The error is the API server's.
func (r *Recorder) write(ctx context.Context, o *v1alpha1.PodObituary) (outcome, error) {
	err := r.API.Create(ctx, o)
	switch {
	case err == nil:
		return written, nil
	case apierrors.IsAlreadyExists(err):
		return repeated, nil
	case audit.NamespaceGone(err):
		return namespaceGone, nil
	case audit.NotInstalled(err):
		return notInstalled, nil
	}
	err = fmt.Errorf("write the obituary of pod %s/%s: %w", o.Namespace, o.Spec.PodName, err)
	if audit.Refused(err) {
		return refused, err
	}
	return again, err
}
