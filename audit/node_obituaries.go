package audit

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// NodeObituaries remembers what nodes died of. It is safe for concurrent use by any number of
// replicas.
type NodeObituaries struct {
	// Cache serves the look-ups; it must have the index that [IndexNodeObituaries] adds.
	Cache client.Reader
	// Live reads from the API server, and Writer writes NodeObituaries.
	Live   client.Reader
	Writer client.Writer
	Clock  clock.PassiveClock
	// Findings reports nodes that leave without a reason; it may be nil.
	Findings *NodeFindings
}

// IndexNodeObituaries adds the index that [NodeObituaries.Last] and its like use.
func IndexNodeObituaries(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1alpha1.NodeObituary{}, reason.NodeNameField,
		func(o client.Object) []string {
			return []string{o.(*v1alpha1.NodeObituary).Spec.NodeName}
		})
	if err != nil {
		return fmt.Errorf("index the obituaries of nodes: %w", err)
	}
	return nil
}

// Record records what the node leaves with. Recording the same again only renews when the Node
// left. If an obituary of this very Node says something else, the later reason replaces it, because
// the earlier deletion did not come about; but it never falls back to unexplained.
func (o *NodeObituaries) Record(ctx context.Context, node *corev1.Node, r reason.Reason) error {
	return o.RecordDeletion(ctx, node, r, "")
}

// RecordDeletion is [NodeObituaries.Record] of a deletion that a user has asked for. Of several
// users, the last one counts, as the deletions before did not come about; but a Node that is held
// by a finalizer goes because of the one who asked first.
func (o *NodeObituaries) RecordDeletion(ctx context.Context, node *corev1.Node, r reason.Reason,
	deletedBy string) error {
	wanted, err := compose(node, r, deletedBy, o.Clock.Now())
	if err != nil {
		return fmt.Errorf("record the end of node %s: %w", node.Name, err)
	}
	created, err := o.create(ctx, wanted)
	if apierrors.IsAlreadyExists(err) {
		if err := o.revise(ctx, wanted); !apierrors.IsNotFound(err) {
			return err
		}
		created, err = o.create(ctx, wanted) // the existing one was taken back meanwhile
	}
	if created {
		o.Findings.note(wanted)
	}
	return wrapNode("write the obituary of node", node.Name, err)
}

// renewAfter is for how long recording the same again changes nothing: the replicas, and the
// repeated calls of one admission, say the same within moments. Later, it is another deletion of
// the Node, during which the record must not be taken back.
const renewAfter = 5 * time.Second

// revise updates the existing obituary if need be.
func (o *NodeObituaries) revise(ctx context.Context, wanted *v1alpha1.NodeObituary) error {
	held := &v1alpha1.NodeObituary{}
	err := o.Live.Get(ctx, client.ObjectKeyFromObject(wanted), held)
	if err != nil {
		return wrapNode("read the obituary of node", wanted.Spec.NodeName, err)
	}
	if held.Spec.NodeUID != wanted.Spec.NodeUID {
		return fmt.Errorf("record the end of node %s (%s): obituary %s is about %s",
			wanted.Spec.NodeName, wanted.Spec.NodeUID, held.Name, held.Spec.NodeUID)
	}
	before, deletedBy := held.DeepCopy(), cmp.Or(wanted.Spec.DeletedBy, held.Spec.DeletedBy)
	if first := held.Spec.DeletedBy; first != "" && first != deletedBy {
		going, err := o.going(ctx, wanted)
		if err != nil {
			return err
		}
		if going {
			deletedBy = first
		}
	}
	switch {
	case supersedes(wanted.Spec, held.Spec):
		wanted.Spec.KernelLog, wanted.Spec.Panic = held.Spec.KernelLog, held.Spec.Panic
		held.Spec = wanted.Spec
	case wanted.Spec.Removed.Sub(held.Spec.Removed.Time) > renewAfter:
		held.Spec.Removed = wanted.Spec.Removed
	case deletedBy == held.Spec.DeletedBy:
		return nil
	}
	held.Spec.DeletedBy = deletedBy
	err = o.patch(ctx, held, client.MergeFromWithOptions(before,
		client.MergeFromWithOptimisticLock{}))
	return wrapNode("revise the obituary of node", wanted.Spec.NodeName, err)
}

// going reports whether the Node is being deleted, or gone. The API server says so: the copy that
// admission gets may precede the deletion.
func (o *NodeObituaries) going(ctx context.Context, of *v1alpha1.NodeObituary) (bool, error) {
	node := &corev1.Node{}
	err := o.Live.Get(ctx, client.ObjectKey{Name: of.Spec.NodeName}, node)
	if client.IgnoreNotFound(err) != nil {
		return false, fmt.Errorf("read node %s: %w", of.Spec.NodeName, err)
	}
	return err != nil || node.UID != of.Spec.NodeUID || node.DeletionTimestamp != nil, nil
}

// supersedes reports whether a later reason for a Node replaces the one on record.
func supersedes(later, held v1alpha1.NodeObituarySpec) bool {
	if later.Code == held.Code && later.Reason == held.Reason && later.By == held.By {
		return false
	}
	return later.Code != string(reason.Unexplained) || held.Code == string(reason.Unexplained)
}

// Find returns the reason with which a node left, for a pod that was created at the given time and
// bound to it. If several Nodes had this name, the last one counts: a kubelet that registers anew
// keeps its pods, so the pod lived on under each of them.
func (o *NodeObituaries) Find(ctx context.Context, node string,
	podCreated time.Time) (reason.Reason, bool, error) {
	last, err := o.Last(ctx, node)
	if err != nil || last == nil || !SpeaksFor(last, podCreated) {
		return reason.Reason{}, false, err
	}
	return ReasonOf(last), true, nil
}

// Last returns the newest obituary of a Node of this name, or nil. An obituary of a boot, from
// which the Node came back, does not count.
func (o *NodeObituaries) Last(ctx context.Context, node string) (*v1alpha1.NodeObituary, error) {
	all := &v1alpha1.NodeObituaryList{}
	if err := o.Cache.List(ctx, all,
		client.MatchingFields{reason.NodeNameField: node}); err != nil {
		return nil, wrapNode("look up the obituary of node", node, err)
	}
	var last *v1alpha1.NodeObituary
	for n := range all.Items {
		c := &all.Items[n]
		if !c.Spec.Returned && (last == nil || LeftAt(c).After(LeftAt(last))) {
			last = c
		}
	}
	return last, nil
}

// bindingLag is how long after a Node's end a pod can still have been created for it: the scheduler
// binds from a cache, and the times compared have whole seconds and come from the clocks of several
// API servers.
const bindingLag = 5 * time.Second

// SpeaksFor reports whether the Node's end was the end of a pod that was created at the given time
// and bound to its name.
func SpeaksFor(o *v1alpha1.NodeObituary, podCreated time.Time) bool {
	return o.Spec.SucceededBy == "" && !podCreated.After(LeftAt(o).Add(bindingLag))
}

// LeftAt returns when the Node left. The API server's clock, which also dates pods, wins if ours is
// behind.
func LeftAt(o *v1alpha1.NodeObituary) time.Time {
	if o.CreationTimestamp.After(o.Spec.Removed.Time) {
		return o.CreationTimestamp.Time
	}
	return o.Spec.Removed.Time
}

// ReasonOf returns the reason that the obituary holds.
func ReasonOf(o *v1alpha1.NodeObituary) reason.Reason {
	return reason.Reason{Code: reason.Code(o.Spec.Code), Text: reason.Clean(o.Spec.Reason),
		By: o.Spec.By}
}

func wrapNode(what, name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return nil
}

// Succeed notes that a later Node has the name: the pods of this one live on under it, and the
// obituary speaks for none of them any more.
func (o *NodeObituaries) Succeed(ctx context.Context, of *v1alpha1.NodeObituary,
	by types.UID) error {
	closed := of.DeepCopy()
	closed.Spec.SucceededBy = id(by)
	return wrapNode("close the obituary of node", of.Spec.NodeName,
		o.patch(ctx, closed, client.MergeFrom(of)))
}

// RecordMissing writes an unexplained obituary for a Node that nobody saw go, so that there is a
// record to explain its pods' end or to release them by.
func (o *NodeObituaries) RecordMissing(ctx context.Context, node string, since time.Time) error {
	r := reason.New(reason.Node, reason.Unexplained, reason.UnknownRemover, reason.UnknownRemover)
	record := &v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: missingName(node, since)},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName: node,
			Removed:  metav1.NewTime(since.Truncate(time.Second)),
			Code:     string(r.Code),
			Class:    r.Code.Class().String(),
			Reason:   string(r.Text),
			By:       r.By,
		},
	}
	created, err := o.create(ctx, record)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if created {
		o.Findings.note(record)
	}
	return wrapNode("write the obituary of missing node", node, err)
}

// missingName has the second in which the Node was missed where other obituaries have its UID.
func missingName(node string, since time.Time) string {
	suffix := fmt.Sprintf("-missed%x", since.Unix())
	return strings.TrimRight(node[:min(len(node), obituary.MaxNameBytes-len(suffix))], ".-") +
		suffix
}

// Hold notes on the record of a Node that left unexplained that its pods are held. A later leader,
// which counts them, reads it there.
func (o *NodeObituaries) Hold(ctx context.Context, of *v1alpha1.NodeObituary) error {
	held := of.DeepCopy()
	metav1.SetMetaDataAnnotation(&held.ObjectMeta, reason.HeldKey,
		o.Clock.Now().UTC().Format(time.RFC3339))
	return wrapNode("note that the pods are held of node", of.Spec.NodeName,
		o.patch(ctx, held, client.MergeFrom(of)))
}

// Retract deletes the obituary of a node that did not leave after all. A missing one is success.
func (o *NodeObituaries) Retract(ctx context.Context, node *corev1.Node) error {
	record := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{
		Name: obituary.Name(node.Name, node.UID)}}
	err := o.Writer.Delete(ctx, record)
	return wrapNode("take back the obituary of node", node.Name, client.IgnoreNotFound(err))
}
