package webhook

import (
	"encoding/json"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/jsonpatch"
	"github.com/epitaph-k8s/epitaph/reason"
)

// handleCreate takes the reason off a pod that is created with one, or refuses the pod: the reason
// came from a template or a backup, and describes the end of another pod.
func (h *Handler) handleCreate(req *admissionv1.AdmissionRequest) outcome {
	const rule = "created-with-a-reason"
	pod := &metav1.PartialObjectMetadata{}
	if err := json.Unmarshal(req.Object.Raw, pod); err != nil {
		return outcome{action: actionFault, rule: rule,
			err: fmt.Errorf("read the object of the review as a pod: %w", err)}
	}
	keys := h.inferrer.Keys.Pod
	var patch []jsonpatch.Operation
	for _, key := range []string{keys.Reason, keys.Code, keys.By, reason.WrittenKey,
		reason.VerdictKey} {
		if _, ok := pod.Annotations[key]; ok {
			patch = append(patch, jsonpatch.Remove(jsonpatch.Annotation(key)))
		}
	}
	switch {
	case len(patch) == 0:
		return outcome{action: actionKept, rule: rule}
	case h.created == config.RefuseReasons:
		return outcome{action: actionDenied, rule: rule, message: fmt.Sprintf(
			"a pod must not be created with a termination reason (it would tell of another pod's end): take the annotations %s, %s and %s out of its template",
			keys.Reason, keys.Code, keys.By)}
	default:
		return outcome{action: actionStripped, rule: rule, patch: patch, message: fmt.Sprintf(
			"epitaph: the termination reason that the pod was created with was taken off, because it tells of another pod's end: take the annotation %s out of its template", keys.Reason)}
	}
}
