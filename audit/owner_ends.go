package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/singleflight"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// believedFor is how long after somebody did something to an owner its pods go because of that.
	// A cascade takes seconds.
	believedFor = time.Hour
	// The pods of an owner go together: those that go within foundFor share one read of its record.
	foundFor, maxFound = 2 * time.Second, 1024
	// findTimeout bounds such a read, whoever has stopped waiting for it.
	findTimeout = 10 * time.Second
	// lookUpTimeout bounds how long a reason or a record waits for what is known of an owner.
	lookUpTimeout = 2 * time.Second
)

// OwnerRecords are the records of the owners of pods. They are *OwnerObituaries.
type OwnerRecords interface {
	Record(ctx context.Context, s v1alpha1.OwnerObituarySpec) error
	// Find returns the record of the last owner of that name that something was done to, or nil.
	Find(ctx context.Context, kind reason.Kind, namespace,
		name string) (*v1alpha1.OwnerObituarySpec, error)
}

// OwnerEnds tells who deleted the owners of pods, or had them have fewer. It is safe for concurrent
// use; of nil, nothing is known.
type OwnerEnds struct {
	OwnerRecords
	live  client.Reader
	clock clock.PassiveClock
	found *cache.LRUExpireCache
	reads singleflight.Group
}

// NewOwnerEnds returns who knows the records. Live reads owners from the API server.
func NewOwnerEnds(records OwnerRecords, live client.Reader, clk clock.PassiveClock) *OwnerEnds {
	return &OwnerEnds{OwnerRecords: records, live: live, clock: clk,
		found: cache.NewLRUExpireCacheWithClock(maxFound, clk)}
}

// A Deed is something that was done to an owner, as far as it is known from the owner itself or
// from what it has left.
type Deed struct {
	Kind            reason.Kind
	Namespace, Name string
	// UID is that of the owner, or of what it owned if only that is known.
	UID types.UID
	// Generation is what the owner has since the deed; 0 if it was deleted.
	Generation int64
}

// Of returns the record of the deed's owner, whoever's UID it has. A record is written before the
// deed is allowed, so even that there is none holds for everybody who asks about the same deed.
func (e *OwnerEnds) Of(ctx context.Context, d Deed) (*v1alpha1.OwnerObituarySpec, error) {
	if e == nil {
		return nil, nil
	}
	if known, ok := e.found.Get(d); ok {
		return known.(*v1alpha1.OwnerObituarySpec), nil
	}
	// The read goes on without those who do not wait for it: the next one finds its answer.
	read := e.reads.DoChan(fmt.Sprintf("%#v", d), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), findTimeout)
		defer cancel()
		return e.read(ctx, d)
	})
	select {
	case r := <-read:
		s, _ := r.Val.(*v1alpha1.OwnerObituarySpec)
		return s, r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("read the record of %s %s/%s: %w", d.Kind.Kind, d.Namespace, d.Name,
			ctx.Err())
	}
}

// read finds the record. It runs in a goroutine of its own, where a panic would end the process.
func (e *OwnerEnds) read(ctx context.Context, d Deed) (s *v1alpha1.OwnerObituarySpec, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read the record of %s %s/%s: panic: %v", d.Kind.Kind, d.Namespace,
				d.Name, p)
		}
	}()
	// Who looked before the last read had found it, and asks after, is answered by that one.
	if known, ok := e.found.Get(d); ok {
		return known.(*v1alpha1.OwnerObituarySpec), nil
	}
	if s, err = e.Find(ctx, d.Kind, d.Namespace, d.Name); err == nil {
		e.found.Add(d, s, foundFor)
	}
	return s, err
}

// Deletion returns who deleted the very owner; nil if that is not known.
func (e *OwnerEnds) Deletion(ctx context.Context, kind reason.Kind, namespace, name string,
	uid types.UID) (*reason.OwnerEnd, error) {
	record, err := e.deletion(ctx, Deed{Kind: kind, Namespace: namespace, Name: name, UID: uid})
	if record == nil || record.UID != uid {
		return nil, err
	}
	end := EndOf(record)
	return &end, nil
}

// deletion returns the record of the deed's owner, whoever's UID it has, if that was deleted.
func (e *OwnerEnds) deletion(ctx context.Context, d Deed) (*v1alpha1.OwnerObituarySpec, error) {
	record, err := e.Of(ctx, d)
	if err != nil || !e.believes(record) || record.Did != string(reason.Deletes) {
		return nil, err
	}
	return record, nil
}

// Scaling returns who had the very owner have fewer pods, or none; nil if that is not known, or
// somebody has changed the owner since.
func (e *OwnerEnds) Scaling(ctx context.Context, d Deed) (*reason.OwnerEnd, error) {
	record, err := e.Of(ctx, d)
	if err != nil || !e.believes(record) || record.UID != d.UID ||
		record.Generation != d.Generation || record.Did == string(reason.Deletes) {
		return nil, err
	}
	end := EndOf(record)
	return &end, nil
}

// OfPod returns who deleted what controls the pod; nil if that is not known. It is for a pod whose
// controller is gone, or is being deleted.
func (e *OwnerEnds) OfPod(ctx context.Context, pod *corev1.Pod) (*reason.OwnerEnd, error) {
	record, err := e.recordOf(ctx, pod)
	if record == nil {
		return nil, err
	}
	end := EndOf(record)
	return &end, nil
}

// OfNamespace returns who deleted the namespace; nil if that is not known.
func (e *OwnerEnds) OfNamespace(ctx context.Context,
	ns *metav1.PartialObjectMetadata) (*reason.OwnerEnd, error) {
	return e.Deletion(ctx, reason.NamespaceKind, "", ns.Name, ns.UID)
}

// recordOf returns the record of the pod's controller that was deleted, or of the Deployment above
// it.
func (e *OwnerEnds) recordOf(ctx context.Context,
	pod *corev1.Pod) (*v1alpha1.OwnerObituarySpec, error) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return nil, nil
	}
	kind := reason.KindIn(ref.APIVersion, ref.Kind)
	record, err := e.deletion(ctx, Deed{Kind: kind, Namespace: pod.Namespace, Name: ref.Name,
		UID: ref.UID})
	switch {
	case err != nil:
		return nil, err
	case record != nil && record.UID == ref.UID:
		return record, nil
	case kind == reason.ReplicaSetKind:
		return e.recordOfDeployment(ctx, pod, ref)
	default:
		return nil, nil
	}
}

// recordOfDeployment returns that of the Deployment of a ReplicaSet, which is gone with it. A
// Deployment of that name that was there when the pod was created, and was deleted after, is the
// one.
func (e *OwnerEnds) recordOfDeployment(ctx context.Context, pod *corev1.Pod,
	set *metav1.OwnerReference) (*v1alpha1.OwnerObituarySpec, error) {
	name := deploymentOf(pod, set.Name)
	if name == "" {
		return nil, nil
	}
	record, err := e.deletion(ctx, Deed{Kind: reason.DeploymentKind, Namespace: pod.Namespace,
		Name: name, UID: set.UID})
	if record == nil || pod.CreationTimestamp.Time.Before(record.Created.Time) ||
		pod.CreationTimestamp.After(record.Removed.Time) {
		return nil, err
	}
	return record, nil
}

// hashAlphabet is that of the hashes of templates (K8s v1.37 k8s.io/apimachinery/pkg/util/rand,
// SafeEncodeString).
const hashAlphabet = "bcdfghjklmnpqrstvwxz2456789"

// deploymentOf is the name of the Deployment of a ReplicaSet; empty if it has none. The name of the
// one is that of the other and the hash of its template (K8s v1.37
// pkg/controller/deployment/sync.go, getNewReplicaSet), which its pods have as a label. Our caches
// do not keep that label.
func deploymentOf(pod *corev1.Pod, set string) string {
	end := strings.LastIndexByte(set, '-')
	if end <= 0 || end == len(set)-1 {
		return ""
	}
	hash, known := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if known && hash != set[end+1:] || strings.Trim(set[end+1:], hashAlphabet) != "" {
		return ""
	}
	return set[:end]
}

// recordPrecision is that of the times in records and of objects.
const recordPrecision = time.Second

// AddUnseen adds who deleted the namespace of a pod, or what controls it, to the facts about a
// deletion that no webhook saw: the replica that was asked may have been killed, and the record
// outlives it. It is certain only if that came first, and what was deleted is gone or takes its
// pods with it.
func (e *OwnerEnds) AddUnseen(ctx context.Context, f *reason.Facts,
	ns *metav1.PartialObjectMetadata) error {
	if e == nil || f.Pod.DeletionTimestamp == nil {
		return nil
	}
	began := f.Pod.DeletionTimestamp.Add(recordPrecision - time.Second*time.Duration(
		ptr.Deref(f.Pod.DeletionGracePeriodSeconds, 0)))
	if ns.DeletionTimestamp != nil && !began.Before(ns.DeletionTimestamp.Time) {
		end, err := e.OfNamespace(ctx, ns)
		if end != nil {
			f.NamespaceTerminating, f.OwnerEnd = true, *end
		}
		return err
	}
	record, err := e.recordOf(ctx, f.Pod)
	if err != nil || record == nil || began.Before(record.Removed.Time) {
		return err
	}
	ref := metav1.GetControllerOfNoCopy(f.Pod)
	goes, err := e.takesItsPods(ctx, f.Pod.Namespace, ref)
	if goes {
		f.Owner = reason.Owner{UID: ref.UID, Deleted: true}
		f.OwnerEnd = EndOf(record)
	}
	return err
}

// LookUp bounds a look-up of who deleted what a pod belongs to. Where it fails, what is said of the
// pod says less, and nothing false.
func LookUp(ctx context.Context, log logr.Logger, pod *corev1.Pod,
	find func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	if err := find(ctx); err != nil {
		log.V(1).Info("who deleted the owner of a pod is not known", "pod",
			client.ObjectKeyFromObject(pod).String(), "error", reason.Clean(err.Error()))
	}
}

// takesItsPods reports whether the very owner is gone, or waits for the end of what it owns.
func (e *OwnerEnds) takesItsPods(ctx context.Context, namespace string,
	ref *metav1.OwnerReference) (bool, error) {
	if _, known := e.found.Get(ref.UID); known {
		return true, nil
	}
	owner := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: ref.APIVersion,
		Kind: ref.Kind}}
	err := e.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, owner)
	switch {
	case apierrors.IsForbidden(err):
		return false, nil
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
	case err != nil:
		return false, fmt.Errorf("look for %s %s/%s: %w", ref.Kind, namespace, ref.Name, err)
	case owner.UID == ref.UID && (owner.DeletionTimestamp == nil ||
		!slices.Contains(owner.Finalizers, metav1.FinalizerDeleteDependents)):
		return false, nil
	}
	e.found.Add(ref.UID, true, foundFor)
	return true, nil
}

// believes reports whether what was done to an owner may still have consequences.
func (e *OwnerEnds) believes(record *v1alpha1.OwnerObituarySpec) bool {
	return record != nil && e.clock.Since(record.Removed.Time) <= believedFor
}

// EndOf is what a record says.
func EndOf(s *v1alpha1.OwnerObituarySpec) reason.OwnerEnd {
	return reason.OwnerEnd{Did: reason.OwnerDeed(s.Did), To: s.To, Deleted: s.Deleted,
		By: s.DeletedBy, Application: s.Application, Says: s.Reason}
}
