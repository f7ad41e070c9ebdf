package podcache

import (
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// NodeReads says which labels and annotations of Nodes are read.
type NodeReads interface {
	Label(key string) bool
	Annotation(key string) bool
}

// TrimNodes makes a cache keep only what Epitaph reads of a Node, such as its conditions, taints,
// addresses and boot ID, and the labels and annotations in reads; also names further annotations to
// keep. The list of its images, the larger half of most Nodes, is dropped.
func TrimNodes(reads NodeReads, also ...string) toolscache.TransformFunc {
	annotation := func(key string) bool {
		return reads.Annotation(key) ||
			slices.Contains(also, key)
	}
	return func(o any) (any, error) {
		if node, ok := o.(*corev1.Node); ok {
			return trimNode(node, reads.Label, annotation), nil
		}
		return o, nil
	}
}

func trimNode(n *corev1.Node, label, annotation func(key string) bool) *corev1.Node {
	return &corev1.Node{
		TypeMeta:   n.TypeMeta,
		ObjectMeta: trimMeta(&n.ObjectMeta, label, annotation),
		Spec: corev1.NodeSpec{
			ProviderID:    n.Spec.ProviderID,
			Unschedulable: n.Spec.Unschedulable,
			Taints:        n.Spec.Taints,
		},
		Status: corev1.NodeStatus{
			Conditions:      n.Status.Conditions,
			Addresses:       n.Status.Addresses,
			DaemonEndpoints: n.Status.DaemonEndpoints,
			NodeInfo: corev1.NodeSystemInfo{
				BootID:    n.Status.NodeInfo.BootID,
				MachineID: n.Status.NodeInfo.MachineID, SystemUUID: n.Status.NodeInfo.SystemUUID,
				KernelVersion: shared(n.Status.NodeInfo.KernelVersion),
			},
		},
	}
}

// TrimObituaries makes a cache keep NodeObituaries without their managed fields, and without the
// console that a cloud has kept: what matters of it is in the record's own log.
func TrimObituaries(o any) (any, error) {
	if obituary, ok := o.(*v1alpha1.NodeObituary); ok {
		obituary.ManagedFields = nil
		if said := obituary.Status.Cloud; said != nil {
			said.KernelLog = nil
		}
	}
	return o, nil
}

func trimMeta(m *metav1.ObjectMeta, label, annotation func(key string) bool) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:                       m.Name,
		Namespace:                  shared(m.Namespace),
		UID:                        m.UID,
		ResourceVersion:            m.ResourceVersion,
		Generation:                 m.Generation,
		CreationTimestamp:          m.CreationTimestamp,
		DeletionTimestamp:          m.DeletionTimestamp,
		DeletionGracePeriodSeconds: m.DeletionGracePeriodSeconds,
		Labels:                     only(m.Labels, label),
		Annotations:                only(m.Annotations, annotation),
		OwnerReferences:            owners(m.OwnerReferences),
		Finalizers:                 m.Finalizers,
	}
}

// owners makes objects share the strings of equal owner references.
func owners(all []metav1.OwnerReference) []metav1.OwnerReference {
	for n := range all {
		o := &all[n]
		o.APIVersion, o.Kind, o.Name = shared(o.APIVersion), shared(o.Kind), shared(o.Name)
	}
	return all
}

// shared returns the one copy of a string that many objects have.
func shared(s string) string {
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}
