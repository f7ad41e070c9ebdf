package webhook

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/segmentio/encoding/json"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// maxDepth bounds how deeply the JSON of a review is nested. Ours is a fast decoder that knows no
// bound: it recurses until the process dies of it. The API server writes reviews with a decoder's
// twin that knows this one, so no genuine review is deeper (encoding/json, maxNestingDepth).
const maxDepth = 10_000

var errTooDeep = fmt.Errorf("the body is nested more than %d deep", maxDepth)

// decodeReview reads a review, and with it the depth of all that is in it.
func decodeReview(body []byte) (*admissionv1.AdmissionReview, error) {
	if deeper(body, maxDepth) {
		return nil, errTooDeep
	}
	review := &admissionv1.AdmissionReview{}
	if err := json.Unmarshal(body, review); err != nil {
		return nil, fmt.Errorf("the body is no AdmissionReview: %w", err)
	}
	if review.Kind != "AdmissionReview" ||
		review.APIVersion != admissionv1.SchemeGroupVersion.String() {
		return nil, errors.New("the body must be an AdmissionReview of admission.k8s.io/v1")
	}
	if review.Request == nil || review.Request.UID == "" {
		return nil, errors.New("the review has no request with a UID")
	}
	return review, nil
}

// deeper tells whether text nests arrays and objects more than limit deep. Of what is no JSON it
// tells at least as much as a decoder would descend: brackets count wherever a decoder could take
// them for such.
func deeper(text []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '[', '{':
			if depth++; depth > limit {
				return true
			}
		case ']', '}':
			depth = max(depth-1, 0)
		case '"':
			i = endOfString(text, i+1)
		}
	}
	return false
}

// endOfString returns where the string ends that begins at from: at the first quote before which
// there is an even number of backslashes.
func endOfString(text []byte, from int) int {
	for i := from; ; i++ {
		next := bytes.IndexByte(text[i:], '"')
		if next < 0 {
			return len(text)
		}
		i += next
		before := i
		for before > from && text[before-1] == '\\' {
			before--
		}
		if (i-before)%2 == 0 {
			return i
		}
	}
}

// A doomedPod is what is read of a pod that is to be deleted: what inference, policy and the writer
// look at. The rest, most of a pod, is skipped and never held. Expressions get the whole object.
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
		// The devices that it may be driven off.
		ResourceClaims []corev1.PodResourceClaim `json:"resourceClaims"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase       `json:"phase"`
		Reason     string                `json:"reason"`
		Message    string                `json:"message"`
		Conditions []corev1.PodCondition `json:"conditions"`

		ResourceClaimStatuses       []corev1.PodResourceClaimStatus        `json:"resourceClaimStatuses"`
		ExtendedResourceClaimStatus *corev1.PodExtendedResourceClaimStatus `json:"extendedResourceClaimStatus"`

		InitContainerStatuses []doomedContainer `json:"initContainerStatuses"`
		ContainerStatuses     []doomedContainer `json:"containerStatuses"`
	} `json:"status"`
}

// A doomedContainer is what is read of the status of a container: how its devices are.
type doomedContainer struct {
	AllocatedResourcesStatus []corev1.ResourceStatus `json:"allocatedResourcesStatus"`
}

// ill are the containers whose devices are unhealthy.
func ill(all []doomedContainer) (some []corev1.ContainerStatus) {
	for _, c := range all {
		if ill := reason.Ill(c.AllocatedResourcesStatus); len(ill) > 0 {
			some = append(some, corev1.ContainerStatus{AllocatedResourcesStatus: ill})
		}
	}
	return some
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
			CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
			DeletionGracePeriodSeconds: m.DeletionGracePeriodSeconds,
			Labels:                     m.Labels, Annotations: m.Annotations,
			OwnerReferences: m.OwnerReferences,
			Finalizers:      m.Finalizers,
		},
		Spec: corev1.PodSpec{
			NodeName: d.Spec.NodeName, Priority: d.Spec.Priority, Tolerations: d.Spec.Tolerations,
			ResourceClaims: d.Spec.ResourceClaims,
		},
		Status: corev1.PodStatus{
			Phase: d.Status.Phase, Reason: d.Status.Reason, Message: d.Status.Message,
			Conditions:                  d.Status.Conditions,
			ResourceClaimStatuses:       d.Status.ResourceClaimStatuses,
			ExtendedResourceClaimStatus: d.Status.ExtendedResourceClaimStatus,
			InitContainerStatuses:       ill(d.Status.InitContainerStatuses),
			ContainerStatuses:           ill(d.Status.ContainerStatuses),
		},
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
