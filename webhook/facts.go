package webhook

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// facts gathers what is known about the deletion, and what could not be found out in time, if that
// can be asked later. Pods, nodes and namespaces are read from the cache: admission runs inside the
// storage's retry loop, and a live LIST there could keep the delete from ever committing.
func (h *Handler) facts(ctx context.Context, d request) (reason.Facts, *openQuestions, error) {
	f := d.ownFacts()
	f.Now = h.clock.Now()
	if f.Pod == nil {
		h.claimFacts(ctx, &f)
		return f, nil, nil
	}
	for _, add := range []func(context.Context, *reason.Facts) error{
		h.nodeFacts, h.namespaceFacts, h.preemptorFacts} {
		if err := add(ctx, &f); err != nil {
			return f, nil, err
		}
	}
	limit := ownerEndLastTimeout
	if h.lingers(d, outcome{action: actionFilled}) {
		limit = ownerEndTimeout
	}
	q := &openQuestions{facts: f, claim: true, owner: true, devices: true}
	if h.ask(ctx, q, limit); q.any() {
		return q.facts, q, nil
	}
	return q.facts, nil, nil
}

// namespaceFacts adds whether the pod's namespace is being deleted: then everything in it goes for
// that reason.
func (h *Handler) namespaceFacts(ctx context.Context, f *reason.Facts) error {
	if !asksForOwner[f.Remover.Actor] {
		return nil
	}
	ns, err := h.namespace(ctx, f.Pod.Namespace)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read namespace %s: %w", f.Pod.Namespace, err)
	}
	f.NamespaceTerminating = ns.DeletionTimestamp != nil
	return nil
}

func (h *Handler) namespace(ctx context.Context,
	name string) (*metav1.PartialObjectMetadata, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return ns, h.reader.Get(ctx, types.NamespacedName{Name: name}, ns)
}

// nodeFacts adds the pod's node, or what it died of.
func (h *Handler) nodeFacts(ctx context.Context, f *reason.Facts) error {
	name := f.Pod.Spec.NodeName
	if name == "" {
		return nil
	}
	node := &corev1.Node{}
	err := h.nodeReader(f.Remover).Get(ctx, types.NamespacedName{Name: name}, node)
	if err == nil {
		f.Node = node
		return nil
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("read node %s: %w", name, err)
	}
	f.NodeGone = true
	f.NodeReason, _, err = h.obituaries.Find(ctx, name, f.Pod.CreationTimestamp.Time)
	if err != nil {
		return fmt.Errorf("read the obituary of node %s: %w", name, err)
	}
	return nil
}

// nodeReader reads the pod's node. The DaemonSet controller deletes because of a taint as soon as
// its watch shows it, which may be before ours does; for everybody else the cache is fresh enough.
func (h *Handler) nodeReader(by reason.Remover) client.Reader {
	if by.Actor == reason.DaemonSetController {
		return h.live
	}
	return h.reader
}

// preemptorFacts adds the pods that wait for a node, where the pod was preempted for one of them.
func (h *Handler) preemptorFacts(ctx context.Context, f *reason.Facts) error {
	if !preempted(f) {
		return nil
	}
	waiting := &corev1.PodList{}
	if err := h.reader.List(ctx, waiting,
		client.MatchingFields{reason.NodeNameField: ""}); err != nil {
		return fmt.Errorf("list the pods that wait for a node: %w", err)
	}
	for n := range waiting.Items {
		f.Preemptors = append(f.Preemptors, &waiting.Items[n])
	}
	return nil
}

func preempted(f *reason.Facts) bool {
	if f.Remover.Actor == reason.Scheduler {
		return true
	}
	for _, c := range f.Pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Reason == corev1.PodReasonPreemptionByScheduler {
			return true
		}
	}
	return false
}

// labelsOf looks up the labels of a namespace.
func (h *Handler) labelsOf(ctx context.Context, name string) (map[string]string, error) {
	ns, err := h.namespace(ctx, name)
	return ns.Labels, err
}
