package aftermath

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// EventFound is the reason of the Event on a Node whose last boot was found to have ended in a
// panic.
const EventFound = "KernelPanicFound"

// A latePanic is a panic that was found late, with what we need to act on it.
type latePanic struct {
	outage
	record *v1alpha1.NodeObituary
	source string
	// pod is the reason of the pods that were lost.
	pod reason.Reason
}

// settle records the end of the boot, and adds the reason of the pods that were lost with it. If
// the Node of that boot left for another reason, so did its pods.
func (a *Aftermath) settle(ctx context.Context, node *corev1.Node, e reason.Evidence) error {
	l := audit.Late{Evidence: e, Reason: reason.New(reason.Node, reason.KernelPanic, e.Detail,
		"kernel of node "+node.Name)}
	// Records have a precision of seconds.
	d := latePanic{outage: outage{e.When.Truncate(time.Second), e.Found}, source: e.Source}
	if report, found, err := termination.ReportOf(node); err == nil && found &&
		report.LastBoot != nil && report.LastBoot.BootID == e.BootID {
		l.KernelLog, d.back = report.LastBoot.KernelLog, report.LastBoot.Back
	}
	record, changed, err := a.Nodes.RecordLate(ctx, node, l)
	if err != nil {
		return err
	}
	if changed {
		a.metrics.nodes.Inc()
		a.Log.Info("panic found late", "node", node.Name, "bootID", reason.Clean(e.BootID),
			"line", reason.Clean(e.Detail), "source", reason.Clean(e.Source))
		a.Events.Eventf(&corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name,
			UID: node.UID}, nil, corev1.EventTypeWarning, EventFound,
			"RecordObituary",
			"The kernel of node %s had panicked (%s), which its agent found in %s", node.Name,
			reason.Clean(e.Detail), reason.Clean(e.Source))
	}
	if record.Spec.Code != string(reason.KernelPanic) {
		return nil
	}
	d.record, d.pod = record, reason.ForPodsOf(node.Name, audit.ReasonOf(record))
	return errors.Join(a.amend(ctx, node.Name, d), a.explain(ctx, node.Name, d))
}

// amend adds the reason to the records of the pods that were lost.
func (a *Aftermath) amend(ctx context.Context, node string, d latePanic) error {
	return a.eachRecord(ctx, node, func(o *v1alpha1.PodObituary) error {
		if !lacksReason(&o.Spec) || !lostIn(d.outage, &o.Spec) {
			return nil
		}
		if err := a.Pods.Amend(ctx, o, d.pod, d.source, d.record.Name); err != nil {
			return err
		}
		a.metrics.records.Inc()
		a.Log.Info("reason supplied after the fact", "namespace", o.Namespace,
			"pod", o.Spec.PodName, "was", o.Spec.Code)
		return nil
	})
}

// explain adds the reason to pods that still exist and that the restart has failed.
func (a *Aftermath) explain(ctx context.Context, node string, d latePanic) error {
	return a.eachPod(ctx, node, func(pod *corev1.Pod) error {
		end := obituary.Of(pod, reason.Reason{}, a.Clock.Now()).Spec
		_, held := reason.HeldOn(pod)
		if held || a.Keys.Pod.Has(pod.Annotations) || !failedIn(d.outage, &end) ||
			end.DeletionRequested != nil && end.DeletionRequested.Time.Before(d.from) {
			return nil
		}
		return a.annotate(ctx, pod, d.pod)
	})
}

func (a *Aftermath) annotate(ctx context.Context, pod *corev1.Pod, why reason.Reason) error {
	err := a.Terminator.AnnotateUnchanged(ctx, pod, why)
	switch {
	case errors.Is(err, termination.ErrGone), errors.Is(err, termination.ErrChanged),
		errors.Is(err, termination.ErrVanishing),
		errors.Is(err, termination.ErrUnwritable):
		return nil // the next look finds the pod or its record
	case err != nil:
		return err
	}
	a.metrics.pods.Inc()
	a.Log.Info("reason supplied after the fact", "namespace", pod.Namespace, "pod", pod.Name)
	return nil
}
