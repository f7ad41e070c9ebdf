// Package owners reads what stands above a pod, and objects of kinds that this program does not
// know: they may not be installed, or not be readable, and neither is asked for again and again.
//
// What this package does not do: judge what an owner means for its pods. Its readers do.
package owners

import (
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// MaxAbove is how many controllers above a pod are looked for.
	MaxAbove = 8
	// maxNameBytes bounds the kinds that are asked for: a pod's references are anybody's word.
	maxNameBytes = 253
	// ClosedFor is how long a kind is left alone that is not installed or may not be read: after
	// that the definition, or the right, may have come.
	ClosedFor, maxClosed = 5 * time.Minute, 256
	// What controls an owner does not change while the owner lives.
	knownFor, maxKnown = 10 * time.Minute, 4096
)

// A Reader reads objects by their kind. It is safe for concurrent use.
type Reader struct {
	live   client.Reader
	mapper meta.RESTMapper
	log    logr.Logger

	closed, known *cache.LRUExpireCache
}

// NewReader returns a Reader that reads from the API server.
func NewReader(live client.Reader, mapper meta.RESTMapper, clk clock.PassiveClock,
	log logr.Logger) *Reader {
	return &Reader{live: live, mapper: mapper, log: log,
		closed: cache.NewLRUExpireCacheWithClock(maxClosed, clk),
		known:  cache.NewLRUExpireCacheWithClock(maxKnown, clk)}
}

// An Owner is a controller above a pod.
type Owner struct {
	Ref  metav1.OwnerReference
	Kind schema.GroupKind
}

// Above returns the controllers above the pod, from the nearest up to the topmost. There is no list
// of which kinds own which: each owner's own reference tells. What cannot be read ends the list:
// with a deleted owner, the name of its own owner is gone too.
func (r *Reader) Above(ctx context.Context, pod *corev1.Pod) (all []Owner) {
	for ref := metav1.GetControllerOf(pod); ref != nil && len(all) < MaxAbove &&
		!slices.ContainsFunc(all, func(o Owner) bool { return o.Ref.UID == ref.UID }); {
		gv, err := schema.ParseGroupVersion(ref.APIVersion)
		next := Owner{Ref: *ref, Kind: gv.WithKind(ref.Kind).GroupKind()}
		ref = nil
		if err == nil {
			ref = r.controllerOf(ctx, pod.Namespace, next)
		}
		all = append(all, next)
	}
	return all
}

// An ownerKey is a whole reference and its namespace: anybody may name the UID of another tenant's
// object.
type ownerKey struct {
	namespace, apiVersion, kind, name string
	uid                               types.UID
}

func keyOf(namespace string, ref metav1.OwnerReference) ownerKey {
	return ownerKey{namespace, ref.APIVersion, ref.Kind, ref.Name, ref.UID}
}

// controllerOf reads the metadata of an owner; nil if nothing controls it, as far as is known. It
// does so once: the pods of one owner leave together.
func (r *Reader) controllerOf(ctx context.Context, namespace string,
	o Owner) *metav1.OwnerReference {
	if known, ok := r.known.Get(keyOf(namespace, o.Ref)); ok {
		return known.(*metav1.OwnerReference)
	}
	found := &metav1.PartialObjectMetadata{}
	if !r.Get(ctx, o.Kind, namespace, o.Ref.Name, found) || found.UID != o.Ref.UID {
		return nil
	}
	above := metav1.GetControllerOf(found)
	r.known.Add(keyOf(namespace, o.Ref), above, knownFor)
	return above
}

// Get reads an object in a namespace, and reports whether it is there.
func (r *Reader) Get(ctx context.Context, kind schema.GroupKind, namespace, name string,
	into client.Object) bool {
	mapping := r.Mapping(kind)
	if mapping == nil || r.isUnreadable(kind) {
		return false
	}
	into.GetObjectKind().SetGroupVersionKind(mapping.GroupVersionKind)
	err := r.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, into)
	r.judge(kind, err)
	return err == nil
}

// List reads objects of a kind in a namespace, and reports whether that could be done.
func (r *Reader) List(ctx context.Context, kind schema.GroupKind, namespace string,
	options ...client.ListOption) ([]unstructured.Unstructured, bool) {
	mapping := r.Mapping(kind)
	if mapping == nil || r.isUnreadable(kind) {
		return nil, false
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(mapping.GroupVersionKind.GroupVersion().WithKind(
		mapping.GroupVersionKind.Kind + "List"))
	err := r.live.List(ctx, list, append(options, client.InNamespace(namespace))...)
	r.judge(kind, err)
	return list.Items, err == nil
}

// What is remembered of kinds: that one is not installed, and that it may not be read. Whose
// controller somebody is can be asked of one that may not.
type (
	absent     schema.GroupKind
	unreadable schema.GroupKind
)

func (r *Reader) isUnreadable(kind schema.GroupKind) bool {
	_, closed := r.closed.Get(unreadable(kind))
	return closed
}

// Mapping finds the kind in its current version, nil if it is not installed. Only kinds in
// namespaces count: a user's pod could name any other object.
func (r *Reader) Mapping(kind schema.GroupKind) *meta.RESTMapping {
	if len(kind.Kind) > maxNameBytes || len(kind.Group) > maxNameBytes {
		return nil
	}
	if _, closed := r.closed.Get(absent(kind)); closed {
		return nil
	}
	mapping, err := r.mapper.RESTMapping(kind)
	if meta.IsNoMatchError(err) ||
		err == nil && mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		// Each look-up of a kind that is not installed costs requests.
		r.closed.Add(absent(kind), true, ClosedFor)
		return nil
	}
	if err != nil {
		return nil
	}
	return mapping
}

// judge closes a kind that may not be read, or whose definition is gone.
func (r *Reader) judge(kind schema.GroupKind, err error) {
	if meta.IsNoMatchError(err) {
		r.closed.Add(absent(kind), true, ClosedFor)
	}
	if apierrors.IsForbidden(err) {
		r.closed.Add(unreadable(kind), true, ClosedFor)
		r.log.Info("objects of a kind may not be read, what they would say is left out", "kind",
			reason.Clean(kind.String()), "error", reason.Clean(err.Error()))
	}
}
