package webhook

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/access"
	"github.com/epitaph-k8s/epitaph/internal/owners"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// objectsTimeout bounds the look-up of what decides about a pod: what is not known in time is
	// left out. The first one also finds out which kinds are served.
	objectsTimeout = 2 * time.Second
	// maxListed bounds the objects of a queue that are read of one job.
	maxListed = 4
	// The pods of one job go together: what a queue says of it is read once for them.
	listedFor, maxListsKnown = 2 * time.Second, 256
)

// objects reads what decides about pods from the API server, not from a cache: a queue writes why
// it stops a job, stops it, and the pods go at once, before a cache would know. It costs nothing
// while no pod goes for such a reason, takes no memory for what is running, and knows a kind as
// soon as it is installed.
type objects struct {
	reader     *owners.Reader
	access     *access.Reviews // nil if nobody can be asked
	statuses   *statuses
	listsKnown *cache.LRUExpireCache
}

func newObjects(o Options) *objects {
	if o.Mapper == nil {
		return nil
	}
	found := &objects{
		reader:     owners.NewReader(o.Live, o.Mapper, o.Clock, o.Log),
		statuses:   newStatuses(o.Served, o.Clock),
		listsKnown: cache.NewLRUExpireCacheWithClock(maxListsKnown, o.Clock),
	}
	if o.Reviews != nil {
		found.access = access.NewReviews(o.Reviews, o.Clock, maxAnswers, allowedFor)
	}
	return found
}

// objectFacts adds what decides about the pod, where its Job was suspended, or where it is deleted
// by what may be its owner's controller. If a look-up fails, it stays unknown: the sentence then
// says less, but nothing false. It reports whether there was time for it.
func (h *Handler) objectFacts(ctx context.Context, f *reason.Facts) (known bool) {
	operator := h.mayOperate(f)
	if h.objects == nil || !f.Owner.Suspended && !operator {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, objectsTimeout)
	defer cancel()
	above := h.objects.reader.Above(ctx, f.Pod)
	if operator {
		f.Operated = h.operated(ctx, f, above)
		if f.Operated == "" {
			return ctx.Err() == nil
		}
	}
	f.Objects = h.objects.read(ctx, f.Pod, above, h.inferrer.Deciders())
	return ctx.Err() == nil
}

// mayOperate tells whether the pod has an owner and is deleted by a service account about which
// nothing else is known.
func (h *Handler) mayOperate(f *reason.Facts) bool {
	return !f.Remover.Evicts && metav1.GetControllerOfNoCopy(f.Pod) != nil &&
		h.inferrer.ActorOf(f.Remover.User, f.Remover.Groups) == reason.ServiceAccount
}

// operated names the nearest owner of the pod that the remover is the controller of: one that is
// known by its name, or that may write the owner's status.
func (h *Handler) operated(ctx context.Context, f *reason.Facts, above []owners.Owner) string {
	for _, o := range above {
		if ofKubernetes(o.Kind) {
			continue
		}
		if h.inferrer.Operates(f.Remover.User, o.Kind) ||
			h.objects.writesStatus(ctx, f.Remover, f.Pod.Namespace, o.Kind) {
			return reason.KindOf(o.Ref.APIVersion, o.Ref.Kind) + " " + o.Ref.Name
		}
	}
	return ""
}

// ofKubernetes tells whether the kind is one of Kubernetes' own, whose controllers are known.
func ofKubernetes(kind schema.GroupKind) bool {
	return !strings.Contains(kind.Group, ".") || strings.HasSuffix(kind.Group, ".k8s.io") &&
		!strings.HasSuffix(kind.Group, ".x-k8s.io")
}

// read returns the objects that decide about the pod.
func (o *objects) read(ctx context.Context, pod *corev1.Pod, above []owners.Owner,
	deciders []reason.Decider) (all []*reason.Object) {
	uids := []string{string(pod.UID)}
	for _, a := range above {
		uids = append(uids, string(a.Ref.UID))
	}
	for _, d := range deciders {
		switch {
		case d.Owner:
			for _, a := range above {
				if a.Kind != d.GroupKind() {
					continue
				}
				if found := o.one(ctx, a.Kind, pod.Namespace, a.Ref.Name); found != nil &&
					found.UID == a.Ref.UID {
					all = append(all, found)
				}
			}
		case d.Labelled != "":
			all = append(all, o.labelled(ctx, d, pod.Namespace, uids)...)
		default:
			name := pod.Labels[d.NamedByLabel]
			if d.NamedByAnnotation != "" {
				name = pod.Annotations[d.NamedByAnnotation]
			}
			if found := o.one(ctx, d.GroupKind(), pod.Namespace, name); found != nil {
				all = append(all, found)
			}
		}
	}
	return all
}

// one reads an object whole; nil where it cannot be.
func (o *objects) one(ctx context.Context, kind schema.GroupKind, namespace,
	name string) *reason.Object {
	found := &unstructured.Unstructured{}
	if name == "" || !o.reader.Get(ctx, kind, namespace, name, found) {
		return nil
	}
	return objectOf(found)
}

// objectOf is what inference reads of an object.
func objectOf(u *unstructured.Unstructured) *reason.Object {
	apiVersion, kind := u.GroupVersionKind().ToAPIVersionAndKind()
	return &reason.Object{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind},
		ObjectMeta: metav1.ObjectMeta{Name: u.GetName(), UID: u.GetUID(),
			DeletionTimestamp: u.GetDeletionTimestamp()},
		Content: u.Object,
	}
}

// labelled reads the objects whose label has one of the UIDs.
func (o *objects) labelled(ctx context.Context, d reason.Decider, namespace string,
	uids []string) []*reason.Object {
	has, err := labels.NewRequirement(d.Labelled, selection.In, uids)
	if err != nil {
		return nil
	}
	key := namespace + "/" + d.GroupKind().String() + "/" + has.String()
	if known, ok := o.listsKnown.Get(key); ok {
		return known.([]*reason.Object)
	}
	items, ok := o.reader.List(ctx, d.GroupKind(), namespace, client.Limit(maxListed),
		client.MatchingLabelsSelector{Selector: labels.NewSelector().Add(*has)})
	if !ok {
		return nil
	}
	all := make([]*reason.Object, len(items))
	for n := range items {
		all[n] = objectOf(&items[n])
	}
	o.listsKnown.Add(key, all, listedFor)
	return all
}
