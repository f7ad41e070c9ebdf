package podcache

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// A record is what we keep of a pod. It is immutable: informers pass it to several goroutines.
type record struct {
	name       string
	uid        [16]byte
	version    uint64
	generation int64
	created    int64 // Unix seconds, the API's own precision
	node       unique.Handle[string]
	common     unique.Handle[common]
	rare       *rare
}

// common is what the pods of one owner share; equal values share one copy.
type common struct {
	metav1.TypeMeta
	namespace  string
	owner      owner
	phase      corev1.PodPhase
	priority   optional[int32]
	preemption optional[corev1.PreemptionPolicy]
	grace      optional[int64]
	tolerates  string // the tolerations that last, as JSON
	// wish is where the pod wants to run, encoded; empty for one that has a node.
	wish string
}

// owner is the one owner that most pods have.
type owner struct {
	apiVersion, kind, name string
	uid                    types.UID
	controller, blocks     optional[bool]
}

// rare is what most living pods do not have.
type rare struct {
	uid           types.UID // where it is no UUID, or zero
	version       string    // where it is no number, or zero
	labels        map[string]string
	annotations   map[string]string
	owners        []metav1.OwnerReference // where there are several
	finalizers    []string
	deleted       *metav1.Time
	deletionGrace *int64
	gates         []corev1.PodSchedulingGate
	group         *corev1.PodSchedulingGroup
	reason        string
	message       string
	nominated     string
	conditions    []corev1.PodCondition
	ill           []corev1.ContainerStatus
}

// optional replaces a pointer, and compares by value.
type optional[T comparable] struct {
	value T
	set   bool
}

func optionalOf[T comparable](p *T) optional[T] {
	if p == nil {
		return optional[T]{}
	}
	return optional[T]{*p, true}
}

func (o optional[T]) pointer() *T {
	if !o.set {
		return nil
	}
	return &o.value
}

// GetObjectMeta returns what an informer needs to tell objects and their versions apart.
func (r *record) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{
		Name: r.name, Namespace: r.common.Value().namespace, UID: r.podUID(),
		ResourceVersion: r.resourceVersion(),
	}
}

// GetObjectKind and DeepCopyObject make the record a runtime.Object: client-go's mutation detector
// copies what is cached.
func (r *record) GetObjectKind() schema.ObjectKind {
	kind := r.common.Value().TypeMeta
	return &kind
}

// DeepCopyObject returns the record itself, which is immutable.
func (r *record) DeepCopyObject() runtime.Object { return r }
