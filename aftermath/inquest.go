package aftermath

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// stillWeighed is how old an answer may be that is weighed: a leader that comes later than this
// leaves it as it is. It keeps a restart from looking through the records of years.
const stillWeighed = 24 * time.Hour

// An Inquest weighs what clouds said of instances after their Nodes had left, and amends the
// records of those Nodes and of the pods that went with them. It reconciles NodeObituaries.
type Inquest struct{ *Aftermath }

// Inquest returns what weighs the clouds' answers. A controller of the leader must run it.
func (a *Aftermath) Inquest() *Inquest { return &Inquest{a} }

// Concerns selects the records that have an answer. What else is written to a record does not
// count: looks are repeated by time.
func (i *Inquest) Concerns() predicate.Predicate {
	concerns := func(o client.Object) bool {
		record, ok := o.(*v1alpha1.NodeObituary)
		return ok && record.Status.Cloud != nil &&
			i.Clock.Since(record.Status.Cloud.Asked.Time) < stillWeighed
	}
	filter := predicate.NewPredicateFuncs(concerns)
	filter.UpdateFunc = func(e event.UpdateEvent) bool {
		was, old := e.ObjectOld.(*v1alpha1.NodeObituary)
		is, now := e.ObjectNew.(*v1alpha1.NodeObituary)
		same := old && now && was.Status.Cloud != nil && is.Status.Cloud != nil &&
			was.Status.Cloud.Asked.Equal(&is.Status.Cloud.Asked) &&
			was.Spec.Code == is.Spec.Code && was.Spec.Reason == is.Spec.Reason
		return !same && concerns(e.ObjectNew)
	}
	return filter
}

// Reconcile weighs the answer on a record, and comes back while records of its pods may still be
// written.
func (i *Inquest) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	record := &v1alpha1.NodeObituary{}
	if err := i.Live.Get(ctx, request.NamespacedName, record); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if record.Status.Cloud == nil {
		return reconcile.Result{}, nil
	}
	if err := i.weigh(ctx, record); err != nil {
		return reconcile.Result{}, fmt.Errorf("weigh what the cloud said of node %s: %w",
			record.Spec.NodeName, err)
	}
	known := i.Clock.Since(record.Status.Cloud.Asked.Time)
	if known >= lookFor {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: min(max(known, firstLook), lastLook)}, nil
}

// weigh amends the record of the Node first: whoever removes a pod from then on finds the reason
// there.
func (i *Inquest) weigh(ctx context.Context, record *v1alpha1.NodeObituary) error {
	a := answerOn(record)
	told := audit.Told{Source: a.source}
	if a.panicked {
		told.KernelLog = record.Status.Cloud.KernelLog
	}
	told.Reason, _ = a.explains(record)
	changed, err := i.Nodes.Amend(ctx, record, told)
	if err != nil {
		return err
	}
	if changed {
		i.metrics.nodes.Inc()
		i.Log.Info("the cloud's answer is on record", "node", record.Spec.NodeName,
			"code", record.Spec.Code, "from", reason.Clean(a.source))
	}
	if !a.speaksIn(record) || record.Spec.Returned {
		return nil
	}
	return errors.Join(i.amend(ctx, record, a), i.explain(ctx, record))
}

// amend supplies the reason in the records of the pods that went with the Node.
func (i *Inquest) amend(ctx context.Context, record *v1alpha1.NodeObituary, a answer) error {
	why := reason.ForPodsOf(record.Spec.NodeName, audit.ReasonOf(record))
	return i.eachRecord(ctx, record.Spec.NodeName, func(o *v1alpha1.PodObituary) error {
		if !a.concerns(record, o) || podReason(o) == why {
			return nil
		}
		if err := i.Pods.Amend(ctx, o, why, a.source, record.Name); err != nil {
			return err
		}
		i.metrics.records.Inc()
		i.Log.Info("reason supplied after the fact", "namespace", o.Namespace,
			"pod", o.Spec.PodName, "was", o.Spec.Code)
		return nil
	})
}

// explain supplies the reason on pods that are still there and have none, unless a Node of that
// name is there, too.
func (i *Inquest) explain(ctx context.Context, record *v1alpha1.NodeObituary) error {
	name := record.Spec.NodeName
	err := i.Live.Get(ctx, client.ObjectKey{Name: name}, &corev1.Node{})
	if err == nil {
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("look whether node %s is back: %w", name, err)
	}
	why := reason.ForPodsOf(name, audit.ReasonOf(record))
	return i.eachPod(ctx, name, func(pod *corev1.Pod) error {
		_, held := reason.HeldOn(pod)
		if held || i.Keys.Pod.Has(pod.Annotations) || reason.Finished(pod) ||
			!audit.SpeaksFor(record, pod.CreationTimestamp.Time) {
			return nil
		}
		return i.annotate(ctx, pod, why)
	})
}
