package webhook

import (
	"fmt"

	"github.com/segmentio/encoding/json"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A doomedPod is what is read of a pod that is to be deleted: what inference, policy and the writer look at. The rest, most of a
// pod, is skipped and never held. Expressions get the whole object.
type doomedPod struct {
	Metadata struct {
		Name                       string                  `json:"name"`
		Namespace                  string                  `json:"namespace"`
		UID                        types.UID               `json:"uid"`
		CreationTimestamp          metav1.Time             `json:"creationTimestamp"`
		DeletionTimestamp          *metav1.Time            `json:"deletionTimestamp"`
		DeletionGracePeriodSeconds *int64                  `json:"deletionGracePeriodSeconds"`
		Labels                     map[string]string       `json:"labels"`
		Annotations                map[string]string       `json:"annotations"`
		OwnerReferences            []metav1.OwnerReference `json:"ownerReferences"`
		Finalizers                 []string                `json:"finalizers"`
	} `json:"metadata"`
	Spec struct {
		NodeName string `json:"nodeName"`
		Priority *int32 `json:"priority"`
		// What drives the pod off its node depends on what it tolerates.
		Tolerations []corev1.Toleration `json:"tolerations"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase       `json:"phase"`
		Reason     string                `json:"reason"`
		Message    string                `json:"message"`
		Conditions []corev1.PodCondition `json:"conditions"`
	} `json:"status"`
}

// decodePod reads the parts of a pod that count.
func decodePod(raw []byte) (*corev1.Pod, error) {
	var d doomedPod
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("read the oldObject of the review as a pod: %w", err)
	}
	m := d.Metadata
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: m.Name, Namespace: m.Namespace, UID: m.UID,
			CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, DeletionGracePeriodSeconds: m.DeletionGracePeriodSeconds,
			Labels: m.Labels, Annotations: m.Annotations, OwnerReferences: m.OwnerReferences, Finalizers: m.Finalizers,
		},
		Spec:   corev1.PodSpec{NodeName: d.Spec.NodeName, Priority: d.Spec.Priority, Tolerations: d.Spec.Tolerations},
		Status: corev1.PodStatus{Phase: d.Status.Phase, Reason: d.Status.Reason, Message: d.Status.Message, Conditions: d.Status.Conditions},
	}, nil
}

// decodeNode reads a node whole: its obituary wants most of it, and nodes are few.
func decodeNode(raw []byte) (*corev1.Node, error) {
	node := &corev1.Node{}
	if err := json.Unmarshal(raw, node); err != nil {
		return nil, fmt.Errorf("read the oldObject of the review as a node: %w", err)
	}
	return node, nil
}
