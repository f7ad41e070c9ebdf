package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const (
	// The scheduler writes down whom it preempted for beside the deletion of the victims, a moment
	// earlier or later. nameFirst is when a victim is looked at after something of it or of a
	// preemptor has changed. A look that fails, or that finds no record yet, is repeated after
	// twice as long each time, up to nameLast.
	nameFirst = 200 * time.Millisecond
	nameLast  = 10 * time.Second
	// nameAfter is for how long after its end the record of a victim is corrected.
	nameAfter = 2 * time.Minute
)

// amendedFrom is where the record of a victim has a corrected name from.
const amendedFrom = "the scheduler's nomination"

// A Corrector writes what became known of a deletion that goes on. It is *termination.Terminator.
type Corrector interface {
	// Wrote tells whether the reason on the object is one that we wrote: words of somebody else are
	// not corrected.
	Wrote(obj client.Object) bool
	Correct(ctx context.Context, obj client.Object, r reason.Reason) error
}

// Records amends the records of pods. It is audit.PodObituaries.
type Records interface {
	Amend(ctx context.Context, o *v1alpha1.PodObituary, r reason.Reason, source,
		nodeObituary string) error
}

// PreemptorNames writes for whom preempted pods had to go, where that became known after their
// deletion was asked for. It also takes back a name that was only supposed and turned out wrong: on
// the pod while it terminates, on its record after that. It reconciles victims by their UID: a pod
// of the same name may have followed. The pods themselves show what is open: they lack a name, or
// bear the mark of a supposed one.
type PreemptorNames struct {
	handler *Handler
	writer  Corrector
	records Records
	victims *victims
	log     logr.Logger
	// since is when it began to look at the records of victims that were gone before it led.
	since time.Time
}

// PreemptorNames returns the reconciler that completes and corrects what the handler did not yet
// know about preempted pods. Where nothing is recorded, records is nil.
func (h *Handler) PreemptorNames(w Corrector, records Records) *PreemptorNames {
	return &PreemptorNames{handler: h, writer: w, records: records, victims: newVictims(),
		log: h.log.WithName("preemptor-names")}
}

// ofRecords stands for no victim, but for the records of those that were gone before this replica
// led.
const ofRecords types.UID = ""

// Source has the records looked at when the controller starts.
func (*PreemptorNames) Source() source.TypedSource[types.UID] {
	return source.TypedFunc[types.UID](func(_ context.Context,
		queue workqueue.TypedRateLimitingInterface[types.UID]) error {
		queue.Add(ofRecords)
		return nil
	})
}

// Options run the controller on the leader.
func (*PreemptorNames) Options() controller.TypedOptions[types.UID] {
	return controller.TypedOptions[types.UID]{
		MaxConcurrentReconciles: workers,
		RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](
			nameFirst, nameLast),
	}
}

// Handler has the victims looked at that an event of a pod concerns.
func (n *PreemptorNames) Handler() handler.TypedEventHandler[*corev1.Pod, types.UID] {
	look := func(queue workqueue.TypedRateLimitingInterface[types.UID], victims []types.UID) {
		for _, victim := range victims {
			queue.AddAfter(victim, nameFirst)
		}
	}
	type limited = workqueue.TypedRateLimitingInterface[types.UID]
	return handler.TypedFuncs[*corev1.Pod, types.UID]{
		CreateFunc: func(_ context.Context, e event.TypedCreateEvent[*corev1.Pod], q limited) {
			look(q, n.concerned(nil, e.Object, false))
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*corev1.Pod], q limited) {
			look(q, n.concerned(e.ObjectOld, e.ObjectNew, false))
		},
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*corev1.Pod], q limited) {
			look(q, n.concerned(nil, e.Object, true))
		},
	}
}

// concerned notes what a pod's event tells, and returns the victims that are to be looked at
// because of it.
func (n *PreemptorNames) concerned(before, pod *corev1.Pod, gone bool) []types.UID {
	own, open := n.open(pod, gone)
	switch {
	case open && gone && n.records != nil:
		n.victims.leave(pod, own, n.handler.clock.Now())
		return []types.UID{pod.UID}
	case open && !gone:
		n.victims.keep(pod, own)
		return []types.UID{pod.UID}
	default:
		n.victims.drop(pod.UID)
	}
	if !gone && before != nil && before.Spec.NodeName == pod.Spec.NodeName &&
		before.Status.NominatedNodeName == pod.Status.NominatedNodeName {
		return nil
	}
	return n.victims.of(pod)
}

// open tells whether the pod terminates, or is gone, with a reason of ours that names no preemptor
// or only a supposed one.
func (n *PreemptorNames) open(pod *corev1.Pod, gone bool) (own reason.Reason, open bool) {
	if pod.DeletionTimestamp == nil && !gone || !n.writer.Wrote(pod) {
		return own, false
	}
	own, err := n.handler.inferrer.Keys.Pod.OnPod(pod)
	if err != nil || own.Preemptor() == "" {
		return own, false
	}
	if n.handler.inferrer.Keys.Pod.Has(pod.Annotations) { // else a condition holds it
		w, _ := reason.ReadWritten(pod.Annotations)
		own.Supposed = w.Supposed
	}
	return own, own.Supposed || own.LacksPreemptor()
}

// Reconcile writes the preemptor into the reason of its victim, if it is known by now, or takes a
// wrong one out. It comes back for a record that is not written yet.
func (n *PreemptorNames) Reconcile(ctx context.Context, uid types.UID) (reconcile.Result, error) {
	if uid == ofRecords {
		return n.lookAtRecords(ctx)
	}
	v, ok := n.victims.get(uid, n.handler.clock.Now())
	if !ok {
		return reconcile.Result{}, nil
	}
	r, better, err := n.better(ctx, v)
	if err != nil || !better {
		return reconcile.Result{}, err
	}
	if v.gone.IsZero() {
		return reconcile.Result{}, n.correct(ctx, v, r)
	}
	amended, err := n.amend(ctx, v, r)
	if err != nil || amended {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: n.patience(v)}, nil
}

// recordsPage bounds what one request reads.
const recordsPage = 500

// lookAtRecords takes up the victims that were gone before this replica led, or whose end it did
// not see: their records say that it is not certain whom they were preempted for. It comes back for
// those that are still to be written, until such records are corrected no more.
func (n *PreemptorNames) lookAtRecords(ctx context.Context) (reconcile.Result, error) {
	if n.records == nil {
		return reconcile.Result{}, nil
	}
	now := n.handler.clock.Now()
	if n.since.IsZero() {
		n.since = now
	}
	var failed []error
	page := &v1alpha1.PodObituaryList{}
	for {
		err := n.handler.live.List(ctx, page,
			client.MatchingFields{"spec.code": string(reason.Preempted)},
			client.Limit(recordsPage), client.Continue(page.Continue))
		switch {
		case meta.IsNoMatchError(err):
			return reconcile.Result{}, nil
		case err != nil:
			return reconcile.Result{}, fmt.Errorf("list the records of preempted pods: %w", err)
		}
		for i := range page.Items {
			failed = append(failed, n.takeUp(ctx, &page.Items[i], now))
		}
		if page.Continue == "" {
			break
		}
	}
	if err := errors.Join(failed...); err != nil {
		return reconcile.Result{}, err
	}
	if now.Sub(n.since) > nameAfter {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: nameLast}, nil
}

// takeUp looks at the victim that a record is of.
func (n *PreemptorNames) takeUp(ctx context.Context, o *v1alpha1.PodObituary, now time.Time) error {
	if o.Spec.Preemption == nil || now.Sub(o.Spec.Removed.Time) > nameAfter {
		return nil
	}
	if _, known := n.victims.get(o.Spec.PodUID, now); known {
		return nil
	}
	pod, own := obituary.Preempted(o)
	n.victims.leave(pod, own, o.Spec.Removed.Time)
	_, err := n.Reconcile(ctx, o.Spec.PodUID)
	return err
}

// patience is how long to wait for the record of a victim: as long as the victim has been gone.
func (n *PreemptorNames) patience(v victim) time.Duration {
	return min(max(n.handler.clock.Since(v.gone), nameFirst), nameLast)
}

// correct writes the reason onto the pod. Before that it reads the pod itself, not what the cache
// keeps of it: the write is bound to what was read.
func (n *PreemptorNames) correct(ctx context.Context, v victim, r reason.Reason) error {
	pod := &corev1.Pod{}
	if err := n.handler.live.Get(ctx, client.ObjectKeyFromObject(v.pod), pod); err != nil {
		return client.IgnoreNotFound(err)
	}
	own, open := n.open(pod, false)
	if pod.UID != v.pod.UID || !open || own != v.own {
		return nil // an event follows
	}
	err := n.writer.Correct(ctx, pod, r)
	switch {
	case err == nil && r.Text != own.Text:
		n.log.Info("preemptor corrected", "namespace", pod.Namespace, "victim", pod.Name)
	case errors.Is(err, termination.ErrGone), errors.Is(err, termination.ErrVanishing),
		errors.Is(err, termination.ErrUnwritable):
		return nil // the record is corrected when the pod is gone
	case errors.Is(err, termination.ErrChanged):
		return nil // an event follows
	}
	return err
}

// amend corrects the record of a victim that is gone, and tells whether it is done with: it is
// written a moment after the end of its pod.
func (n *PreemptorNames) amend(ctx context.Context, v victim,
	r reason.Reason) (done bool, err error) {
	o := &v1alpha1.PodObituary{}
	key := types.NamespacedName{Namespace: v.pod.Namespace,
		Name: obituary.Name(v.pod.Name, v.pod.UID)}
	switch err := n.handler.live.Get(ctx, key, o); {
	case apierrors.IsNotFound(err):
		return false, nil
	case meta.IsNoMatchError(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("read the obituary of pod %s/%s: %w", v.pod.Namespace, v.pod.Name,
			err)
	}
	if o.Spec.PodUID == v.pod.UID && o.Spec.Code == string(v.own.Code) &&
		o.Spec.Reason == string(v.own.Text) && r.Text != v.own.Text {
		if err := n.records.Amend(ctx, o, r, amendedFrom, o.Spec.NodeObituary); err != nil {
			return false, err
		}
		n.log.Info("preemptor corrected on record", "namespace", v.pod.Namespace,
			"victim", v.pod.Name)
	}
	n.victims.settle(v, r)
	return true, nil
}

// better infers the reason anew, as if the pod had none, and tells whether the new one says more,
// or drops something false. Only a nomination gives a name at this stage. A supposed one is taken
// back when its pod neither waits undecided nor runs on the node.
func (n *PreemptorNames) better(ctx context.Context,
	v victim) (r reason.Reason, is bool, err error) {
	f := reason.Facts{
		Now: n.handler.clock.Now(), Pod: without(v.pod, n.handler.inferrer.Keys.Pod).(*corev1.Pod),
		Remover: reason.Remover{User: v.own.By, Actor: reason.Scheduler},
	}
	if err := errors.Join(n.handler.nodeFacts(ctx, &f),
		n.handler.preemptorFacts(ctx, &f)); err != nil {
		return r, false, err
	}
	r, ok := n.handler.inferrer.Infer(f)
	switch {
	case !ok || r.Code != reason.Preempted:
		return r, false, nil
	case !r.Supposed && !r.LacksPreemptor():
		return r, true, nil
	case !v.own.Supposed:
		return r, false, nil
	}
	stands, runs, err := n.stands(ctx, v, f.Preemptors)
	switch {
	case err != nil || stands:
		return r, false, err
	case runs:
		r = v.own
		r.Supposed = false
		return r, true, nil
	default:
		return v.own.WithoutPreemptor(), true, nil
	}
}

// stands tells whether the supposed preemptor still waits and is nominated to no node, or whether
// it runs on the victim's.
func (n *PreemptorNames) stands(ctx context.Context, v victim,
	waiting []*corev1.Pod) (stands, runs bool, err error) {
	for _, p := range waiting {
		if v.supposes(p) && p.DeletionTimestamp == nil && p.Status.NominatedNodeName == "" {
			return true, false, nil
		}
	}
	bound := &corev1.PodList{}
	if err := n.handler.reader.List(ctx, bound,
		client.MatchingFields{reason.NodeNameField: v.pod.Spec.NodeName}); err != nil {
		return false, false, fmt.Errorf("list the pods of node %s: %w", v.pod.Spec.NodeName, err)
	}
	for i := range bound.Items {
		if v.supposes(&bound.Items[i]) {
			return false, true, nil
		}
	}
	return false, false, nil
}
