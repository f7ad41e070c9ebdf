package termination

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// conditionReason is what kube-controller-manager's pod garbage collector writes (k8s.io/api/core/v1, KEP-3329): tools that
// look for it find it.
const conditionReason = "DeletionByPodGC"

// failPod moves the pod to phase Failed with r in one strategic merge patch of pods/status: annotations, phase and the
// DisruptionTarget condition, and returns the resource version that it has then. A pod that has finished keeps its phase and conditions: its own end is the truth.
func (t *Terminator) failPod(ctx context.Context, pod *corev1.Pod, r reason.Reason) (resourceVersion string, err error) {
	if vanishing(pod) {
		return "", ErrVanishing
	}
	target := &metav1.PartialObjectMetadata{}
	if _, err := identify(pod, target); err != nil {
		return "", err
	}
	patch, err := json.Marshal(t.failure(pod, r))
	if err != nil {
		return "", fmt.Errorf("encode the failure of pod %s: %w", client.ObjectKeyFromObject(pod), err)
	}
	if err := t.client.Status().Patch(ctx, target, client.RawPatch(types.StrategicMergePatchType, patch)); err != nil {
		return "", fmt.Errorf("fail pod %s: %w", client.ObjectKeyFromObject(pod), asGone(err))
	}
	return target.ResourceVersion, nil
}

type failurePatch struct {
	Metadata failureMeta   `json:"metadata"`
	Status   failureStatus `json:"status,omitzero"`
}

type failureMeta struct {
	UID         types.UID         `json:"uid"`
	Annotations map[string]string `json:"annotations"`
}

type failureStatus struct {
	Phase      corev1.PodPhase       `json:"phase,omitempty"`
	Conditions []corev1.PodCondition `json:"conditions,omitempty"`
}

// failure is the patch that fails the pod. DisruptionTarget is documented as retriable, so only disruptions get it.
func (t *Terminator) failure(pod *corev1.Pod, r reason.Reason) failurePatch {
	p := failurePatch{Metadata: failureMeta{UID: pod.UID, Annotations: t.keys.Pod.Annotations(r)}}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return p
	}
	p.Status.Phase = corev1.PodFailed
	if r.Code.Class() == reason.Disruption {
		p.Status.Conditions = []corev1.PodCondition{{
			Type:               corev1.DisruptionTarget,
			Status:             corev1.ConditionTrue,
			Reason:             conditionReason,
			Message:            string(r.Text),
			LastTransitionTime: metav1.NewTime(t.clock.Now()),
			ObservedGeneration: pod.Generation,
		}}
	}
	return p
}
