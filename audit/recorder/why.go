package recorder

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
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

// why returns why the pod left. A watch does not say who deleted it. With an unknown remover,
// inference relies only on the pod itself.
func (r *Recorder) why(ctx context.Context, d departure) (reason.Reason, source, error) {
	f := reason.Facts{Now: d.left, Pod: d.pod, Remover: reason.Remover{User: reason.UnknownRemover}}
	kept, remembered := r.Refusals.Of(d.pod, d.left)
	said, err := r.Inferrer.Keys.Pod.OnPod(d.pod)
	guessed := err == nil && said.By == reason.UnknownRemover &&
		!r.Inferrer.Keys.Pod.Told(d.pod.Annotations)
	switch {
	case remembered && (err != nil || guessed):
		return r.settled(ctx, d, kept)
	case err == nil:
		if completed, ok := r.Inferrer.Infer(f); ok {
			said = completed
		}
		return r.settled(ctx, d, said)
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

// settled completes the reason of a pod by what its Job has said since, and by who deleted its
// owner, where the webhook could not read that in time.
func (r *Recorder) settled(ctx context.Context, d departure,
	said reason.Reason) (reason.Reason, source, error) {
	said, err := audit.SettledByJob(ctx, r.API, said, d.pod, d.left)
	if reason.NamesNobody(said, d.pod) {
		said = r.named(ctx, said, d.pod)
	}
	return said, sourceOf(said), err
}

// named adds who deleted the pod's owner or namespace.
func (r *Recorder) named(ctx context.Context, said reason.Reason, pod *corev1.Pod) reason.Reason {
	find := r.Owners.OfPod
	if said.Code == reason.NamespaceDeleted {
		find = r.ofNamespace
	}
	var end *reason.OwnerEnd
	audit.LookUp(ctx, r.Log, pod, func(ctx context.Context) (err error) {
		end, err = find(ctx, pod)
		return err
	})
	if end == nil {
		return said
	}
	return end.Named(said)
}

func (r *Recorder) ofNamespace(ctx context.Context,
	pod *corev1.Pod) (*reason.OwnerEnd, error) {
	ns, err := r.namespace(ctx, pod.Namespace)
	if ns == nil || err != nil {
		return nil, err
	}
	return r.Owners.OfNamespace(ctx, ns)
}

// namespace returns a Namespace, or nil if there is none.
func (r *Recorder) namespace(ctx context.Context,
	name string) (*metav1.PartialObjectMetadata, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := r.Cache.Get(ctx, types.NamespacedName{Name: name}, ns)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read namespace %s: %w", name, err)
	}
	return ns, nil
}

// sourceOf distinguishes a reason from the note that there was none, which the webhook writes with
// the name of whoever deleted the pod.
func sourceOf(r reason.Reason) source {
	if r.Code == reason.Unexplained {
		return none
	}
	return given
}

// addFacts adds the pod's node, or what it died of, and whether the namespace is being deleted.
func (r *Recorder) addFacts(ctx context.Context, f *reason.Facts) error {
	ns, err := r.namespace(ctx, f.Pod.Namespace)
	if err != nil {
		return err
	}
	f.NamespaceTerminating = ns == nil || ns.DeletionTimestamp != nil
	if ns != nil && !obituary.EndedByItself(f.Pod) {
		audit.LookUp(ctx, r.Log, f.Pod, func(ctx context.Context) error {
			return r.Owners.AddUnseen(ctx, f, ns)
		})
	}
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

// node returns a Node, or nil if there is none.
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

// describeNode adds what the pod's node was: from the Node, or its record if it is gone.
func (r *Recorder) describeNode(ctx context.Context, s *v1alpha1.PodObituarySpec) error {
	if s.NodeName == "" {
		return nil
	}
	node, err := r.node(ctx, s.NodeName)
	if err != nil {
		return err
	}
	if node != nil {
		s.NodePool = reason.PoolOf(node)
		s.NodeKernel = reason.CleanTo(node.Status.NodeInfo.KernelVersion, maxKernelBytes)
		return nil
	}
	last, err := r.Nodes.Last(ctx, s.NodeName)
	if err != nil || last == nil || !audit.SpeaksFor(last, s.Created.Time) {
		return err
	}
	s.NodePool, s.NodeKernel = last.Spec.Pool, last.Spec.Kernel
	return nil
}

// maxKernelBytes is the bound of the CRD, and Linux's own (__NEW_UTS_LEN).
const maxKernelBytes = 64

// nodeObituary returns the name of the record of the node that took the pod with it; empty if there
// is none: most pods leave a node that stays.
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
	// A node that panicked is removed after its pods; its reason is on it already.
	case node != nil:
		return obituary.Name(node.Name, node.UID), nil
	}
	last, err := r.Nodes.Last(ctx, pod.Spec.NodeName)
	if err != nil || last == nil || !audit.SpeaksFor(last, pod.CreationTimestamp.Time) {
		return "", err
	}
	return last.Name, nil
}
