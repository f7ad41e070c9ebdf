package audit

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Late is the end of a boot whose cause, a kernel panic, became known afterwards.
type Late struct {
	// Evidence is what was found, with the boot and the source.
	Evidence reason.Evidence
	// Reason is the same as a reason of the Node.
	Reason reason.Reason
	// KernelLog holds the kernel's last lines, if they were found.
	KernelLog []string
}

// RecordLate records the end of a boot that the node has come back from: in the obituary of that
// boot's Node, if it left and nobody could say why; otherwise in one of the boot's own. A known
// reason that is on record stays. It returns the record that speaks for the pods of that boot, and
// whether it was written. Repeating it changes nothing.
func (o *NodeObituaries) RecordLate(ctx context.Context, node *corev1.Node,
	l Late) (record *v1alpha1.NodeObituary, changed bool, err error) {
	held, err := o.ofBoot(ctx, node.Name, l.Evidence.BootID)
	if err != nil {
		return nil, false, err
	}
	if held == nil {
		return o.createReturned(ctx, node, l)
	}
	lines := printable(l.KernelLog)
	explain := saysGoneOrSilent(held.Spec)
	if held.Spec.Code != string(reason.KernelPanic) && !explain ||
		!explain && len(lines) <= len(held.Spec.KernelLog) {
		return held, false, nil
	}
	before := held.DeepCopy()
	if explain {
		o.supply(&held.Spec, l.Reason, l.Evidence.Source)
	}
	setKernelLog(&held.Spec, lines)
	err = o.patch(ctx, held, client.MergeFromWithOptions(before,
		client.MergeFromWithOptimisticLock{}))
	return held, true, wrapNode("amend the obituary of node", node.Name, err)
}

// supply puts a reason that became known after the fact in the place of the one on record.
func (o *NodeObituaries) supply(s *v1alpha1.NodeObituarySpec, r reason.Reason, source string) {
	s.Amended = newAmendment(o.Clock.Now(), source, wasBefore(s.Amended, source, s.Code))
	s.Code = obituary.CodeOf(r)
	s.Class = reason.Code(s.Code).Class().String()
	s.Reason, s.By = string(reason.Clean(string(r.Text))), reason.CleanTo(r.By, reason.MaxByBytes)
}

// Told is what somebody found out about a Node's end after it had left.
type Told struct {
	// Reason replaces the one on record; none if that stays.
	Reason reason.Reason
	// KernelLog holds the lines of a panic. It is added if there is none.
	KernelLog []string
	// Source is where it was found.
	Source string
}

// Amend adds to a record, which was read from the API server, what was found out later. It returns
// whether it was written, and a conflict if anybody has changed the record since it was read.
func (o *NodeObituaries) Amend(ctx context.Context, held *v1alpha1.NodeObituary, t Told) (bool,
	error) {
	before := held.DeepCopy()
	if now := ReasonOf(held); !t.Reason.IsZero() && t.Reason != now {
		o.supply(&held.Spec, t.Reason, t.Source)
	}
	if len(held.Spec.KernelLog) == 0 {
		setKernelLog(&held.Spec, printable(t.KernelLog))
	}
	if equality.Semantic.DeepEqual(before.Spec, held.Spec) {
		return false, nil
	}
	err := o.patch(ctx, held, client.MergeFromWithOptions(before,
		client.MergeFromWithOptimisticLock{}))
	return true, wrapNode("amend the obituary of node", held.Spec.NodeName, err)
}

// saysGoneOrSilent reports whether the record says no more than that the Node is gone, or silent.
func saysGoneOrSilent(s v1alpha1.NodeObituarySpec) bool {
	return s.Code == string(reason.Unexplained) || s.Code == string(reason.NodeUnreachable)
}

// ofBoot returns the obituary of a Node in that boot, or nil. It finds it in the cache and then
// reads it from the API server.
func (o *NodeObituaries) ofBoot(ctx context.Context, node,
	bootID string) (*v1alpha1.NodeObituary, error) {
	all := &v1alpha1.NodeObituaryList{}
	if err := o.Cache.List(ctx, all,
		client.MatchingFields{reason.NodeNameField: node}); err != nil {
		return nil, wrapNode("look up the obituary of node", node, err)
	}
	n := slices.IndexFunc(all.Items,
		func(c v1alpha1.NodeObituary) bool { return c.Spec.BootID == id(bootID) })
	if n < 0 {
		return nil, nil
	}
	held := &v1alpha1.NodeObituary{}
	err := o.Live.Get(ctx, client.ObjectKeyFromObject(&all.Items[n]), held)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return held, wrapNode("read the obituary of node", node, err)
}

// createReturned writes the obituary of a boot. Its name is derived from the boot, so it is written
// once.
func (o *NodeObituaries) createReturned(ctx context.Context, node *corev1.Node,
	l Late) (*v1alpha1.NodeObituary, bool, error) {
	now := o.Clock.Now()
	record, err := compose(node, l.Reason, "",
		obituary.TimeOr(l.Evidence.When, metav1.NewTime(now)).Time)
	if err != nil {
		return nil, false, fmt.Errorf("record the end of a boot of node %s: %w", node.Name, err)
	}
	record.Name = obituary.Name(node.Name, types.UID(l.Evidence.BootID))
	record.Spec.BootID, record.Spec.Returned, record.Spec.SucceededBy = id(l.Evidence.BootID), true,
		id(node.UID)
	record.Spec.Amended = newAmendment(now, l.Evidence.Source, "")
	setKernelLog(&record.Spec, printable(l.KernelLog))
	created, err := o.create(ctx, record)
	if apierrors.IsAlreadyExists(err) {
		return record, false, nil
	}
	return record, created, wrapNode("write the obituary of a boot of node", node.Name, err)
}

// Returned returns the obituary of the boot of a node that a pod was lost with, found by the pod's
// reason; nil if there is none.
func (o *NodeObituaries) Returned(ctx context.Context, node string,
	pod reason.Reason) (*v1alpha1.NodeObituary, error) {
	all := &v1alpha1.NodeObituaryList{}
	if err := o.Cache.List(ctx, all,
		client.MatchingFields{reason.NodeNameField: node}); err != nil {
		return nil, wrapNode("look up the boots of node", node, err)
	}
	var last *v1alpha1.NodeObituary
	for n := range all.Items {
		c := &all.Items[n]
		if c.Spec.Returned && reason.ForPodsOf(node, ReasonOf(c)) == pod &&
			(last == nil || c.Spec.Removed.After(last.Spec.Removed.Time)) {
			last = c
		}
	}
	return last, nil
}
