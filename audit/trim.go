package audit

import (
	"maps"
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// TrimNodes makes a cache keep of a Node only what Epitaph reads: its annotations of ours, its conditions and taints, its
// addresses and its boot. The list of its images, the larger half of most Nodes, is not among it.
func TrimNodes(keys reason.KeySet, also ...string) toolscache.TransformFunc {
	kept := append([]string{keys.Node.Reason, keys.Node.Code, keys.Node.By, reason.EvidenceKey}, also...)
	return func(o any) (any, error) {
		if node, ok := o.(*corev1.Node); ok {
			return trimNode(node, kept), nil
		}
		return o, nil
	}
}

func trimNode(n *corev1.Node, kept []string) *corev1.Node {
	return &corev1.Node{
		TypeMeta:   n.TypeMeta,
		ObjectMeta: trimMeta(&n.ObjectMeta, kept),
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
			},
		},
	}
}

// TrimObituaries makes a cache keep obituaries without the account of who wrote which of their fields.
func TrimObituaries(o any) (any, error) {
	if obituary, ok := o.(*v1alpha1.NodeObituary); ok {
		obituary.ManagedFields = nil
	}
	return o, nil
}

func trimMeta(m *metav1.ObjectMeta, kept []string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:                       m.Name,
		Namespace:                  shared(m.Namespace),
		UID:                        m.UID,
		ResourceVersion:            m.ResourceVersion,
		Generation:                 m.Generation,
		CreationTimestamp:          m.CreationTimestamp,
		DeletionTimestamp:          m.DeletionTimestamp,
		DeletionGracePeriodSeconds: m.DeletionGracePeriodSeconds,
		Annotations:                only(m.Annotations, kept),
		OwnerReferences:            owners(m.OwnerReferences),
		Finalizers:                 m.Finalizers,
	}
}

func only(annotations map[string]string, kept []string) map[string]string {
	if !slices.ContainsFunc(kept, func(k string) bool { _, ok := annotations[k]; return ok }) {
		return nil
	}
	all := maps.Clone(annotations)
	maps.DeleteFunc(all, func(k, _ string) bool { return !slices.Contains(kept, k) })
	return all
}

// owners shares the names: the pods of one owner all have them.
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
