package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// workers is how many promised reasons are written at the same time.
const workers = 8

// PromisedReasons writes what the handler has promised to pods once they are seen to terminate. It
// reconciles Pods, and is a runnable that writes what is still outstanding when the process ends.
type PromisedReasons struct{ handler *Handler }

// Options run the controller on every replica: each writes for the deletions that it admitted.
func (*PromisedReasons) Options() controller.Options {
	return controller.Options{MaxConcurrentReconciles: workers, NeedLeaderElection: ptr.To(false)}
}

// NeedLeaderElection says that every replica runs it.
func (*PromisedReasons) NeedLeaderElection() bool { return false }

// Concerns reports whether the pod is to get a reason that was found when its deletion was
// admitted.
func (k *PromisedReasons) Concerns(o client.Object) bool {
	pod, ok := o.(*corev1.Pod)
	if !ok || pod.DeletionTimestamp == nil {
		return false
	}
	p, ok := k.handler.promises.of(pod.UID)
	return ok && k.owed(pod, p)
}

// owed reports whether the pod terminates and what we know of that is not written yet. What the
// garbage collector inferred on seeing the pod gives way: it did not know who deleted it.
func (k *PromisedReasons) owed(pod *corev1.Pod, p promise) bool {
	if pod.DeletionTimestamp == nil {
		return false
	}
	if p.marks || p.completes || k.handler.inferrer.Keys.Pod.Told(pod.Annotations) {
		w, _ := reason.ReadWritten(pod.Annotations)
		return w.For != reason.CleanTo(p.user, reason.MaxByBytes)
	}
	return true
}

// Reconcile writes the reason onto the terminating pod, at the pace that deletions allow.
func (k *PromisedReasons) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	pod := &corev1.Pod{}
	if err := k.handler.reader.Get(ctx, request.NamespacedName, pod,
		client.UnsafeDisableDeepCopy); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	p, ok := k.handler.promises.of(pod.UID)
	if !ok || !k.owed(pod, p) {
		return reconcile.Result{}, nil
	}
	if wait := k.handler.pace.wait(p.at); wait > 0 && !p.marks {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	defer k.handler.pace.turn(ctx, p.at, k.handler.promises.outstanding)()
	if p, ok = k.handler.promises.of(pod.UID); !ok {
		return reconcile.Result{}, nil // its final DELETE was quicker
	}
	if k.handler.askLate(ctx, pod.UID, &p) {
		return reconcile.Result{RequeueAfter: lateAgain}, nil
	}
	return reconcile.Result{}, k.write(ctx, pod, p)
}

// write keeps the promise. The write is bound to the annotations that the decision was made on, and
// needs no read. Only if somebody has changed them since is the pod read to see what is still owed.
func (k *PromisedReasons) write(ctx context.Context, pod *corev1.Pod, p promise) error {
	err := k.writeOnto(ctx, p.target(pod), pod.Annotations, p)
	if errors.Is(err, termination.ErrChanged) {
		there := &corev1.Pod{}
		err = k.handler.live.Get(ctx, client.ObjectKeyFromObject(pod), there)
		switch {
		case client.IgnoreNotFound(err) != nil:
			return fmt.Errorf("read pod %s: %w", client.ObjectKeyFromObject(pod), err)
		case err != nil || there.UID != pod.UID || !k.owed(there, p):
			k.handler.promises.forget(pod.UID)
			return nil
		}
		err = k.writeOnto(ctx, there, there.Annotations, p)
	}
	broken := outcome{rule: p.rule, reason: p.reason}
	switch {
	case err == nil:
		k.handler.kept(pod.UID, p)
		return nil
	case errors.Is(err, termination.ErrGone), errors.Is(err, termination.ErrVanishing):
		k.handler.promises.forget(pod.UID) // its record has it
		return nil
	case errors.Is(err, termination.ErrUnwritable):
		k.handler.promises.forget(pod.UID)
		broken.action, err = actionUnwritable, nil
	case errors.Is(err, termination.ErrChanged):
		return err // it is looked at again
	default:
		broken.action = actionFault
	}
	k.handler.metrics.observe("pods", broken, k.handler.clock.Since(p.at))
	return err
}

// writeOnto writes the reason, or only who deleted the pod if it carries a reason by now.
func (k *PromisedReasons) writeOnto(ctx context.Context, pod *corev1.Pod,
	now map[string]string, p promise) (err error) {
	switch {
	case p.completes:
		_, err = k.handler.writer.Complete(ctx, pod, p.reason, p.user)
	case p.marks, k.handler.inferrer.Keys.Pod.Told(now):
		pod = pod.DeepCopy()
		pod.Annotations = now
		d := request{object: pod, deletion: deletion{subject: reason.Pod}}.by(p.user)
		if o := k.handler.keep(d, config.Rule{}); o.completes {
			_, err = k.handler.writer.Complete(ctx, pod, o.reason, p.user)
		} else {
			_, err = k.handler.writer.Mark(ctx, pod, p.user)
		}
	default:
		_, err = k.handler.writer.AnnotateFor(ctx, pod, p.reason, p.user)
	}
	return err
}

const (
	// farewell bounds the writes at the end of the process.
	farewell = 10 * time.Second
	// commitTime is how long after our answer it takes to show whether a deletion went through.
	commitTime = time.Second
	lastPoll   = 50 * time.Millisecond
)

// Start waits until the process is told to end, and then writes what is still promised: nobody else
// knows who asked. From then on, reasons are written before the answer.
func (k *PromisedReasons) Start(ctx context.Context) error {
	<-ctx.Done()
	k.handler.writesFirst.Store(true)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	_ = wait.PollUntilContextCancel(ctx, lastPoll, true, func(ctx context.Context) (bool, error) {
		return !k.writeAll(ctx), nil
	})
	return nil
}

// writeAll keeps the promises to pods that terminate by now, and reports whether more may follow.
func (k *PromisedReasons) writeAll(ctx context.Context) (more bool) {
	var writes errgroup.Group
	writes.SetLimit(workers)
	for _, uid := range k.handler.promises.pods() {
		p, ok := k.handler.promises.of(uid)
		if !ok {
			continue
		}
		fresh := k.handler.clock.Since(p.at) < commitTime
		more = more || fresh
		writes.Go(func() error { return k.writeLast(ctx, uid, p, fresh) })
	}
	if err := writes.Wait(); err != nil {
		k.handler.log.Error(err, "a promised reason was not written")
	}
	return more
}

// writeLast keeps a promise if the pod terminates. It forgets one that is old, or whose pod is
// gone.
func (k *PromisedReasons) writeLast(ctx context.Context, uid types.UID, p promise,
	fresh bool) error {
	from := k.handler.reader
	if fresh {
		from = k.handler.live
	}
	pod := &corev1.Pod{}
	err := from.Get(ctx, p.pod, pod)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("read pod %s: %w", p.pod, err)
	case err == nil && pod.UID == uid && k.owed(pod, p):
		k.handler.askLate(ctx, uid, &p)
		return k.write(ctx, pod, p)
	case err != nil || pod.UID != uid || pod.DeletionTimestamp != nil || !fresh:
		k.handler.promises.forget(uid)
	}
	return nil
}
