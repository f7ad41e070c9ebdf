package termination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// conditionReason is what kube-controller-manager's pod garbage collector writes
// (k8s.io/api/core/v1, KEP-3329), so that tools which look for it find it.
const conditionReason = "DeletionByPodGC"

// failPod moves the pod to phase Failed with r in one strategic merge patch of pods/status:
// annotations, phase, reason, message and the DisruptionTarget condition. It returns the resource
// version that the pod has then. A pod that has finished keeps its status: its own end is the
// truth. Where the annotations are refused, the status goes without them; where that is refused
// too, the error is [ErrUnwritable].
func (t *Terminator) failPod(ctx context.Context, pod *corev1.Pod,
	r reason.Reason) (resourceVersion string, err error) {
	if reason.Vanishing(pod) {
		return "", ErrVanishing
	}
	patch := t.failure(pod, r)
	version, err := t.patchStatus(ctx, pod, patch)
	if !errors.Is(err, ErrUnwritable) {
		return version, err
	}
	refused := err
	patch.Metadata.Annotations = nil
	patch.Status.Conditions = append(patch.Status.Conditions, reason.Held(r, t.clock.Now()))
	version, err = t.patchStatus(ctx, pod, patch)
	if errors.Is(err, ErrUnwritable) && patch.Status.Reason != "" {
		// A kubelet may have written its own reason since the pod was read, and the manager's
		// admission policy protects that.
		patch.Status.Reason, patch.Status.Message = "", ""
		version, err = t.patchStatus(ctx, pod, patch)
	}
	return version, t.told(pod, r, refused, err)
}

// Judging adds a verdict for programs ([reason.VerdictKey]), as returned by judge, to each pod that
// is failed.
func Judging(judge func(*corev1.Pod, reason.Reason) string) Option {
	return func(t *Terminator) { t.judge = judge }
}

// patchStatus sends a strategic merge patch of pods/status.
func (t *Terminator) patchStatus(ctx context.Context, pod *corev1.Pod,
	p statusPatch) (resourceVersion string, err error) {
	target := &metav1.PartialObjectMetadata{}
	if _, err := identify(pod, target); err != nil {
		return "", err
	}
	patch, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode the status of pod %s: %w", client.ObjectKeyFromObject(pod),
			err)
	}
	if err := t.client.Status().Patch(ctx, target,
		client.RawPatch(types.StrategicMergePatchType, patch)); err != nil {
		return "", fmt.Errorf("write the status of pod %s: %w", client.ObjectKeyFromObject(pod),
			asUnwritable(asGone(err)))
	}
	return target.ResourceVersion, nil
}

type statusPatch struct {
	Metadata statusMeta `json:"metadata"`
	Status   status     `json:"status,omitzero"`
}

type statusMeta struct {
	UID             types.UID         `json:"uid"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Annotations     map[string]string `json:"annotations,omitempty"`
}

type status struct {
	Phase      corev1.PodPhase       `json:"phase,omitempty"`
	Reason     string                `json:"reason,omitempty"`
	Message    string                `json:"message,omitempty"`
	Conditions []corev1.PodCondition `json:"conditions,omitempty"`
}

// failure returns the patch that fails the pod. DisruptionTarget is documented as retriable, so
// only disruptions get it.
func (t *Terminator) failure(pod *corev1.Pod, r reason.Reason) statusPatch {
	p := statusPatch{Metadata: statusMeta{UID: pod.UID, Annotations: t.keys.Pod.Annotations(r)}}
	if pod.DeletionTimestamp == nil { // else somebody requested it before us
		p.Metadata.Annotations[reason.WrittenKey] = mark(collected, reason.OwnDeleter(r.By),
			t.clock.Now())
	}
	if reason.Finished(pod) {
		return p
	}
	if t.judge != nil {
		p.Metadata.Annotations[reason.VerdictKey] = t.judge(pod, r)
	}
	p.Status.Phase = corev1.PodFailed
	// As the kubelet does for the pods that it fails: `kubectl get pod` shows the reason, workflow
	// engines show both. What a kubelet has written there is nearer to the truth.
	if pod.Status.Reason == "" && pod.Status.Message == "" {
		p.Status.Reason, p.Status.Message = string(r.Code), string(r.Text)
	}
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
