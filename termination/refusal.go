package termination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// ErrUnwritable says that the API server refuses a reason in the annotations of this object: they
// are full, somebody's policy protects them, or the stored object is invalid by now. Trying again
// is useless, and there is nothing left to do: the reason is in a condition of the pod if possible,
// and was passed to the function given to [Telling]. It must not delay a deletion.
var ErrUnwritable = errors.New("the API server refuses the reason on this object")

// A Refusal is a reason that could not be written into an object's annotations.
type Refusal struct {
	Object client.Object
	Reason reason.Reason
	// Held is set if a condition of the pod ([reason.HeldIn]) holds the reason instead: whoever
	// sees the pod go can read it there.
	Held bool
	// Err is the API server's answer.
	Err error
}

// An Option is an optional setting of a Terminator.
type Option func(*Terminator)

// Telling passes each refusal to tell, which can keep the reason elsewhere. It runs in the
// goroutine that writes, and must not block.
func Telling(tell func(Refusal)) Option { return func(t *Terminator) { t.tell = tell } }

// holdInstead handles refused annotations: it puts the reason into a condition of the pod, which
// has room when the annotations are full, and which policies about annotations do not cover. It
// returns the pod's new resource version, and refused. If refused is nil or any error other than
// [ErrUnwritable], it returns that and does nothing. If version is not empty, the pod must still
// have it.
func (t *Terminator) holdInstead(ctx context.Context, obj client.Object, r reason.Reason,
	version string, refused error) (string, error) {
	if !errors.Is(refused, ErrUnwritable) {
		return "", refused
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return "", t.told(obj, r, refused, refused)
	}
	if held, ok := reason.HeldOn(pod); ok && held == r {
		return pod.ResourceVersion, nil
	}
	written, err := t.patchStatus(ctx, pod, statusPatch{
		Metadata: statusMeta{UID: pod.UID, ResourceVersion: version},
		Status:   status{Conditions: []corev1.PodCondition{reason.Held(r, t.clock.Now())}},
	})
	if err = t.told(pod, r, refused, err); err == nil || errors.Is(err, ErrUnwritable) {
		return written, refused
	}
	return "", err
}

// told passes the refusal on, unless what was tried instead failed with an error that a retry may
// cure, and returns instead.
func (t *Terminator) told(obj client.Object, r reason.Reason, refused, instead error) error {
	if instead == nil || errors.Is(instead, ErrUnwritable) {
		t.tell(Refusal{Object: obj, Reason: r, Held: instead == nil, Err: refused})
	}
	return instead
}

// heldSince returns since when a condition of the pod has held a reason, if one does.
func heldSince(obj client.Object) (time.Time, bool) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return time.Time{}, false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == reason.HeldIn {
			return c.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// release removes the condition that holds a reason from a pod that lives on.
func (t *Terminator) release(ctx context.Context, pod *corev1.Pod) error {
	target := &metav1.PartialObjectMetadata{}
	if _, err := identify(pod, target); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status": map[string]any{"conditions": []map[string]any{
			{"$patch": "delete", "type": reason.HeldIn}}},
	})
	if err != nil {
		return fmt.Errorf("encode the release of pod %s: %w", client.ObjectKeyFromObject(pod), err)
	}
	if err := t.client.Status().Patch(ctx, target,
		client.RawPatch(types.StrategicMergePatchType, patch)); err != nil {
		return fmt.Errorf("take the reason off pod %s: %w", client.ObjectKeyFromObject(pod),
			asChanged(asGone(err)))
	}
	return nil
}

// asUnwritable turns a refusal into ErrUnwritable. A right that RBAC denies is not one: it can be
// granted, and an API server that has just started denies it until it has read the roles.
// Validation answers 422, a body that is too large gets 413; admission answers with a code of its
// author's choice, but with these words (k8s.io/apiserver v0.37
// pkg/admission/plugin/webhook/errors/statuserror.go,
// pkg/admission/plugin/policy/validating/dispatcher.go).
func asUnwritable(err error) error {
	var answer apierrors.APIStatus
	if errors.Is(err, ErrGone) || errors.Is(err, ErrChanged) || !errors.As(err, &answer) {
		return err
	}
	s := answer.Status()
	refused := strings.Contains(s.Message, "denied the request") ||
		strings.Contains(s.Message, "denied request")
	switch s.Code {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		refused = true
	case http.StatusForbidden:
		refused = !strings.Contains(s.Message, `cannot patch resource "`)
	}
	if !refused {
		return err
	}
	return fmt.Errorf("%w (%w)", ErrUnwritable, err)
}
