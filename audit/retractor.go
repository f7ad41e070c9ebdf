package audit

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// RetractPrecision is added to the time for which a record of a living Node is left alone. By then,
// everything else that was written for a deletion that did not come about has been removed from the
// Node.
const RetractPrecision = time.Minute

// A Retractor removes the records of Nodes that live on: their deletion was refused, came to
// nothing, or was invented. It needs only the records and the Nodes, so there is no mark on the
// Node. It reconciles NodeObituaries.
type Retractor struct {
	// Cache holds Nodes and NodeObituaries.
	Cache      client.Reader
	Obituaries *NodeObituaries
	// After is how long a Node may live on with a record of its end, counted from when it was last
	// recorded.
	After time.Duration
	// Intended reports whether the Node has yet to be deleted: its record stays.
	Intended func(node *corev1.Node) bool
	Clock    clock.PassiveClock
	Log      logr.Logger
}

// Concerns reports whether the record may have to be removed, now or later.
func (*Retractor) Concerns(o client.Object) bool {
	record, ok := o.(*v1alpha1.NodeObituary)
	return ok && ofWholeNode(record)
}

// ofWholeNode reports whether the record says that a certain Node left, and not that a boot of it
// ended: a Node that came back and goes on living rightly has such records.
func ofWholeNode(o *v1alpha1.NodeObituary) bool {
	return !o.Spec.Returned && o.Spec.NodeUID != ""
}

// ofEarlierBoot reports whether the Node has booted since, and the cause of its earlier boot's end
// was found on its disk: that is true although the Node lives.
func ofEarlierBoot(o *v1alpha1.NodeObituary, node *corev1.Node) bool {
	return o.Spec.Amended != nil && o.Spec.BootID != "" &&
		o.Spec.BootID != id(node.Status.NodeInfo.BootID)
}

// due returns in how long the record has to be examined. That is bounded, however far ahead the
// clock was that dated it.
func (r *Retractor) due(o *v1alpha1.NodeObituary) time.Duration {
	after := r.After + RetractPrecision
	return min(LeftAt(o).Add(after).Sub(r.Clock.Now()), after)
}

// Reconcile deletes a record whose time has come and whose Node lives, and comes back if that may
// be so later.
func (r *Retractor) Reconcile(ctx context.Context,
	request reconcile.Request) (reconcile.Result, error) {
	record, node := &v1alpha1.NodeObituary{}, &corev1.Node{}
	// The cache may lag behind, and nothing written for a deletion under way may get lost.
	for _, from := range []client.Reader{r.Cache, r.Obituaries.Live} {
		again, lives, err := r.judge(ctx, from, request.NamespacedName, record, node)
		if err != nil || !lives {
			return reconcile.Result{RequeueAfter: again}, err
		}
	}
	unchanged := client.Preconditions{UID: &record.UID, ResourceVersion: &record.ResourceVersion}
	err := r.Obituaries.Writer.Delete(ctx, record, unchanged)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return reconcile.Result{}, nil // gone, or written to: then another event follows
	}
	if err != nil {
		return reconcile.Result{}, wrapNode("take back the obituary of node", node.Name, err)
	}
	r.Log.Info("record taken back: the node lives", "node", node.Name, "obituary", record.Name,
		"code", record.Spec.Code)
	return reconcile.Result{}, nil
}

// judge reads the record and its Node, and reports whether the record has to go.
func (r *Retractor) judge(
	ctx context.Context, from client.Reader, key client.ObjectKey, record *v1alpha1.NodeObituary,
	node *corev1.Node,
) (again time.Duration, lives bool, err error) {
	if err := from.Get(ctx, key, record); err != nil {
		return 0, false, client.IgnoreNotFound(err)
	}
	if !ofWholeNode(record) {
		return 0, false, nil
	}
	if wait := r.due(record); wait > 0 {
		return wait, false, nil
	}
	if err := from.Get(ctx, client.ObjectKey{Name: record.Spec.NodeName}, node); err != nil {
		return 0, false, client.IgnoreNotFound(err)
	}
	if node.UID != record.Spec.NodeUID || node.DeletionTimestamp != nil ||
		ofEarlierBoot(record, node) {
		return 0, false, nil
	}
	if r.Intended(node) {
		return r.After + RetractPrecision, false, nil
	}
	return 0, true, nil
}
