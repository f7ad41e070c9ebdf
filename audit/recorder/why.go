package recorder

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A source is where the reason of an obituary comes from.
type source string

const (
	given    source = "given"    // it was on the pod
	inferred source = "inferred" // the pod's last state tells
	none     source = "none"     // nobody said, and nothing tells
)

// why returns why the pod left. A watch does not say who deleted it. That the remover is unknown
// keeps inference to what the pod says itself.
func (r *Recorder) why(ctx context.Context, d departure) (reason.Reason, source, error) {
	f := reason.Facts{Now: d.left, Pod: d.pod, Remover: reason.Remover{User: reason.UnknownRemover}}
	if said, err := r.Inferrer.Keys.Pod.OnPod(d.pod); err == nil {
		if completed, ok := r.Inferrer.Infer(f); ok {
			said = completed
		}
		return r.settled(ctx, d, said)
	}
	if kept, ok := r.Refusals.Of(d.pod, d.left); ok {
		return r.settled(ctx, d, kept)
	}
	if err := r.addFacts(ctx, &f); err != nil {
		return reason.Reason{}, none, err
	}
	if told, ok := r.Inferrer.Infer(f); ok {
		return told, inferred, nil
	}
	switch {
	case f.NamespaceTerminating:
		return reason.New(reason.Pod, reason.NamespaceDeleted, d.pod.Namespace,
			reason.UnknownRemover), inferred, nil
	case obituary.EndedByItself(d.pod):
		return reason.New(reason.Pod, reason.AlreadyEnded,
			string(d.pod.Status.Phase)+", deleted by "+reason.UnknownRemover,
			reason.UnknownRemover), inferred, nil
	default:
		return f.Unknown(), none, nil
	}
}

// settled completes what was said of a pod by what its Job has told since.
func (r *Recorder) settled(ctx context.Context, d departure,
	said reason.Reason) (reason.Reason, source, error) {
	said, err := audit.SettledByJob(ctx, r.API, said, d.pod, d.left)
	return said, sourceOf(said), err
}

// sourceOf tells a reason from the note that there was none, which the webhook writes with the name
// of the one who deleted.
func sourceOf(r reason.Reason) source {
	if r.Code == reason.Unexplained {
		return none
	}
	return given
}

// addFacts adds the pod's node, or what it died of, and whether the namespace is going.
func (r *Recorder) addFacts(ctx context.Context, f *reason.Facts) error {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Cache.Get(ctx, types.NamespacedName{Name: f.Pod.Namespace}, ns)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("read namespace %s: %w", f.Pod.Namespace, err)
	}
	f.NamespaceTerminating = err != nil || ns.DeletionTimestamp != nil
	if f.Pod.Spec.NodeName == "" {
		return nil
	}
	if f.Node, err = r.node(ctx, f.Pod.Spec.NodeName); err != nil || f.Node != nil {
		return err
	}
	f.NodeGone = true
	f.NodeReason, _, err = r.Nodes.Find(ctx, f.Pod.Spec.NodeName, f.Pod.CreationTimestamp.Time)
	return err
}

// node returns a Node, or nil where there is none.
func (r *Recorder) node(ctx context.Context, name string) (*corev1.Node, error) {
	node := &corev1.Node{}
	err := r.Cache.Get(ctx, types.NamespacedName{Name: name}, node)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read node %s: %w", name, err)
	}
	return node, nil
}

// nodeObituary names the record of the node that took the pod with it, or is empty: most pods leave
// a node that stays.
func (r *Recorder) nodeObituary(ctx context.Context, pod *corev1.Pod,
	why reason.Reason) (string, error) {
	if pod.Spec.NodeName == "" || why.Code.Class() == reason.Routine {
		return "", nil
	}
	node, err := r.node(ctx, pod.Spec.NodeName)
	switch {
	case err != nil:
		return "", err
	case node != nil && why.Code != reason.KernelPanic:
		return "", nil
	// It may have come back from a panic that took the pod with it.
	case node != nil && !r.Inferrer.Keys.Node.Has(node.Annotations):
		boot, err := r.Nodes.Returned(ctx, node.Name, why)
		if err != nil || boot == nil {
			return "", err
		}
		return boot.Name, nil
	// A node that panicked is buried after its pods; what it left with is on it already.
	case node != nil:
		return obituary.Name(node.Name, node.UID), nil
	}
	last, err := r.Nodes.Last(ctx, pod.Spec.NodeName)
	if err != nil || last == nil || !audit.SpeaksFor(last, pod.CreationTimestamp.Time) {
		return "", err
	}
	return last.Name, nil
}
