package recorder

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// An outcome is what became of an obituary.
type outcome string

const (
	// written: it was created.
	written outcome = "written"
	// repeated: it was there already, written by the predecessor, or by us before a crash.
	repeated outcome = "repeated"
	// namespaceGone: nothing can be created in a namespace that is being deleted; its obituaries
	// would go with it.
	namespaceGone outcome = "namespace-gone"
	// handedOver: it was created in our namespace instead, for the archive.
	handedOver outcome = "handed-over"
	// notInstalled: the API server does not have the kind. Pods that leave meanwhile are not kept
	// for later: there may be any number of them.
	notInstalled outcome = "not-installed"
	// refused: the API server refuses it, for somebody else's quota or policy. To insist would hold
	// up all others.
	refused outcome = "refused"
	// panicked: recording it panicked, each time that it was tried.
	panicked outcome = "panicked"
	// again: not decided, to be tried again.
	again outcome = ""
)

// lateStep is the lateness for each unit of which one more obituary may be written at the same
// time.
const lateStep = time.Second

// work records what comes, one obituary at a time as long as that keeps up: when pods leave in
// masses, somebody, mostly us, is terminating them at that moment and needs the API server more.
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

// seats returns how many obituaries may be written at the same time, if the next one is of a pod
// that left at that time.
func (r *Recorder) seats(left time.Time) int {
	return min(r.Config.Workers, 1+int(max(0, r.Clock.Since(left))/lateStep))
}

// record records one pod, and retries until that is done.
func (r *Recorder) record(ctx context.Context, d departure) {
	err := r.retry(ctx, "record pod "+d.pod.Namespace+"/"+d.pod.Name,
		func() error { return r.recordOnce(ctx, &d) }, afterPanics())
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		r.giveUp(d.pod)
	}
	r.progress.finish(d.ticket)
}

// giveUp reports that a pod is not recorded. The guard has logged why.
func (r *Recorder) giveUp(pod *corev1.Pod) {
	r.metrics.obituaries.WithLabelValues(string(panicked)).Inc()
	r.Log.Error(nil, "pod not recorded", "namespace", pod.Namespace, "pod", pod.Name)
}

// recordOnce counts a departure, and records it if it has to be recorded. An error means that it
// has to be repeated.
func (r *Recorder) recordOnce(ctx context.Context, d *departure) error {
	if d.missed != nil {
		d.pod, d.missed = r.lastState(ctx, d.pod, *d.missed), nil
	}
	w, _ := reason.ReadWritten(d.pod.Annotations)
	pod, by := r.told(ctx, *d)
	// a repetition no longer finds the mark
	d.pod, d.by, d.supposed = pod, cmp.Or(d.by, by), d.supposed || w.Supposed
	why, from, err := r.why(ctx, *d)
	if err != nil {
		return err
	}
	if !r.records(why) {
		r.metrics.leave(d.pod.Namespace, why, from)
		if from == none {
			r.Log.Info("pod left without a reason", "namespace", d.pod.Namespace, "pod",
				d.pod.Name, "uid", string(d.pod.UID), "by", why.By)
		}
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
	if became == written || became == handedOver {
		r.metrics.lag.Observe(r.Clock.Since(d.left).Seconds())
		r.logRecord(o)
	}
	if became == written {
		r.Grown(o.Namespace)
		r.announce(ctx, d.pod, o, from)
	}
	if became == handedOver { // nothing can be told in its namespace
		r.Grown(r.Namespace)
	}
	if became != repeated {
		r.metrics.leave(d.pod.Namespace, why, from)
	}
	return nil
}

// logRecord logs what is on record, once. What others wrote has been cleaned and bounded.
func (r *Recorder) logRecord(o *v1alpha1.PodObituary) {
	about := []any{"namespace", o.Namespace, "pod", o.Spec.PodName, "uid", string(o.Spec.PodUID),
		"code", o.Spec.Code, "class", o.Spec.Class, "by", o.Spec.By, "node", o.Spec.NodeName}
	if n := len(o.Spec.Owners); n > 0 {
		nearest, top := o.Spec.Owners[0], o.Spec.Owners[n-1]
		about = append(about, "owner", nearest.Kind+"/"+nearest.Name)
		if n > 1 {
			about = append(about, "topOwner", top.Kind+"/"+top.Name)
		}
	}
	r.Log.Info("pod left", about...)
}

// stopped are the codes of owners that somebody deleted or suspended.
var stopped = map[reason.Code]bool{reason.OwnerDeleted: true, reason.Suspended: true}

// records reports whether pods that left for this have an obituary.
func (r *Recorder) records(why reason.Reason) bool {
	return r.wanted[why.Code.Class()] || r.codes[why.Code] ||
		r.Config.OwnersDeletedByPeople && stopped[why.Code] &&
			r.Inferrer.ActorOf(why.By, nil) == reason.Person
}

func (r *Recorder) compose(ctx context.Context, d departure,
	why reason.Reason) (*v1alpha1.PodObituary, error) {
	o := obituary.Of(d.pod, why, d.left)
	o.Labels = obituary.Labels(d.pod.Labels, func(key string) bool { return r.labels[key] })
	o.Spec.DeletedBy = d.by
	o.Spec.Owners = r.ownersOf(ctx, d.pod)
	why.Supposed = (d.supposed || why.Supposed) && why.Preemptor() != ""
	o.Spec.Preemption = obituary.PreemptionOf(d.pod, why)
	obituary.Judge(o)
	var err error
	if o.Spec.NodeObituary, err = r.nodeObituary(ctx, d.pod, why); err != nil {
		return o, err
	}
	return o, r.describeNode(ctx, &o.Spec)
}

// write creates the obituary, and returns its outcome. The error is the API server's.
//
// Where its namespace is being deleted, it is handed over to the archive as an object in our own:
// that is as durable as any other obituary, whether the archive runs or not, is written once
// however often this is repeated, and is bounded by the retention.
func (r *Recorder) write(ctx context.Context, o *v1alpha1.PodObituary) (outcome, error) {
	became, err := r.create(ctx, o)
	if became != namespaceGone || !r.HandOver {
		return became, err
	}
	o = o.DeepCopy()
	if o.Labels == nil {
		o.Labels = map[string]string{}
	}
	o.Labels[reason.HandedOverKey], o.Namespace = o.Namespace, r.Namespace
	if became, err = r.create(ctx, o); became == written {
		became = handedOver
	}
	return became, err
}

func (r *Recorder) create(ctx context.Context, o *v1alpha1.PodObituary) (outcome, error) {
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
