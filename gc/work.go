package gc

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// work handles one pod: it checks that the cause still holds, finds the reason, and terminates or
// annotates the pod.
func (c *Collector) work(ctx context.Context, k task) error {
	pod := &corev1.Pod{}
	if err := c.cache.Get(ctx, k.pod, pod, sharing); err != nil {
		return client.IgnoreNotFound(err)
	}
	if pod.UID != k.uid {
		return nil
	}
	holds, err := c.stillHolds(ctx, k, pod)
	if err != nil || !holds {
		return err
	}
	r, err := c.reasonFor(ctx, k.cause, pod)
	if err != nil {
		return err
	}
	if k.cause == CauseUnexplained {
		return c.annotate(ctx, pod, r)
	}
	return c.terminate(ctx, k.cause, pod, r)
}

// stillHolds reports whether the pod is still due for the cause it was queued for, since it may
// have waited behind others.
func (c *Collector) stillHolds(ctx context.Context, k task, pod *corev1.Pod) (bool, error) {
	if k.cause == CauseTerminated {
		return reason.Finished(pod) && c.finished.exceed(c.config.TerminatedPodThreshold), nil
	}
	cause, ok := causeOf(pod, c.nodes.known(pod.Spec.NodeName).state, c.hasReason(pod))
	if !ok || cause != k.cause {
		return false, nil
	}
	if cause != CauseOrphaned {
		return true, nil
	}
	return c.stillDue(ctx, pod)
}

// stillDue reports whether an orphan is still due. While it waited, its node may have returned, and
// left once more for another reason or for none; or so many other nodes may have left that the
// brake holds.
func (c *Collector) stillDue(ctx context.Context, pod *corev1.Pod) (bool, error) {
	node := pod.Spec.NodeName
	a, err := c.absenceOf(ctx, node)
	if err != nil {
		return false, err
	}
	if wait := a.due(pod, c.clock.Now(), c.config.Quarantine.Duration); wait > 0 {
		c.subjects.AddAfter(subject{node: node}, wait)
		return false, nil
	}
	if held, err := c.brakeHolds(ctx, node, a); err != nil || held {
		c.subjects.AddAfter(subject{node: node}, holdRecheck)
		return false, err
	}
	return c.confirmed.absent(ctx, node)
}

// reasonFor returns why the pod is terminated.
func (c *Collector) reasonFor(ctx context.Context, cause Cause,
	pod *corev1.Pod) (reason.Reason, error) {
	f := reason.Facts{Now: c.clock.Now(), Pod: pod,
		Remover: reason.Remover{User: reason.ByGC, Actor: reason.PodGC}}
	if err := c.nodeFacts(ctx, cause, &f); err != nil {
		return reason.Reason{}, err
	}
	r, ok := c.inferrer.Infer(f)
	if !ok {
		r = f.Unknown()
	}
	return r, nil
}

// nodeFacts adds the facts about the pod's node.
func (c *Collector) nodeFacts(ctx context.Context, cause Cause, f *reason.Facts) error {
	switch cause {
	case CauseOrphaned:
		a, err := c.absenceOf(ctx, f.Pod.Spec.NodeName)
		if err != nil {
			return err
		}
		f.NodeGone, f.Node = true, a.node
		if a.covers(f.Pod) {
			f.NodeReason = a.reason
		}
	case CauseUnexplained:
		f.Remover = reason.Remover{User: reason.UnknownRemover}
		c.ownerFacts(ctx, f)
		return c.livingNode(ctx, f)
	case CauseOutOfService:
		return c.livingNode(ctx, f)
	case CauseUnscheduled, CauseTerminated:
	}
	return nil
}

func (c *Collector) livingNode(ctx context.Context, f *reason.Facts) error {
	node := &corev1.Node{}
	err := c.cache.Get(ctx, types.NamespacedName{Name: f.Pod.Spec.NodeName}, node, sharing)
	if err == nil {
		f.Node = node
	}
	return client.IgnoreNotFound(err)
}

// ownerFacts adds who deleted what the pod belongs to.
func (c *Collector) ownerFacts(ctx context.Context, f *reason.Facts) {
	audit.LookUp(ctx, c.log, f.Pod, func(ctx context.Context) error {
		ns := &metav1.PartialObjectMetadata{}
		ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		if err := c.cache.Get(ctx, types.NamespacedName{Name: f.Pod.Namespace}, ns); err != nil {
			return fmt.Errorf("read namespace %s: %w", f.Pod.Namespace, err)
		}
		return c.owners.AddUnseen(ctx, f, ns)
	})
}

func (c *Collector) terminate(ctx context.Context, cause Cause, pod *corev1.Pod,
	r reason.Reason) error {
	err := c.terminator.TerminatePod(ctx, pod, r)
	gone := errors.Is(err, termination.ErrGone)
	if err != nil && !gone {
		return err
	}
	if c.turns.end(pod.UID); gone {
		return nil
	}
	c.metrics.terminated.WithLabelValues(string(cause), label(r.Code)).Inc()
	c.log.V(1).Info("pod terminated", "pod", client.ObjectKeyFromObject(pod).String(),
		"cause", string(cause), "code", string(r.Code))
	return nil
}

// annotate gives a terminating pod its reason. If somebody else changes the pod at the same moment,
// it is examined again.
func (c *Collector) annotate(ctx context.Context, pod *corev1.Pod, r reason.Reason) error {
	switch err := c.terminator.AnnotateUnchanged(ctx, pod, r); {
	case errors.Is(err, termination.ErrGone), errors.Is(err, termination.ErrVanishing),
		errors.Is(err, termination.ErrUnwritable):
		return nil
	case apierrors.IsConflict(err):
		c.subjects.AddAfter(subject{pod: client.ObjectKeyFromObject(pod)}, c.silence)
		return nil
	case err != nil:
		return err
	}
	c.metrics.annotated.WithLabelValues(label(r.Code)).Inc()
	return nil
}
