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

// ErrUnwritable says that the API server refuses to have a reason in the annotations of this
// object: they are full, somebody's policy guards them, or the object as it is stored is invalid by
// now. To try again changes nothing, and nothing is left to be done: the reason is in a condition
// of the pod if there was a way, and whoever is told of refusals ([Telling]) has it. It must hold
// up no deletion.
var ErrUnwritable = errors.New("the API server refuses the reason on this object")

// A Refusal is a reason that could not be written into an object's annotations.
type Refusal struct {
	Object client.Object
	Reason reason.Reason
	// Held is set where a condition of the pod ([reason.HeldIn]) holds it instead: then whoever
	// sees the pod go has it from there.
	Held bool
	// Err is what the API server said.
	Err error
}

// An Option is something that a Terminator can do without.
type Option func(*Terminator)

// Telling has each refusal told to somebody who can keep the reason otherwise. It is called by
// whoever writes, and must not block.
func Telling(tell func(Refusal)) Option { return func(t *Terminator) { t.tell = tell } }

// holdInstead is what follows a refused annotation: the reason goes into a condition of the pod,
// which has room where annotations have none, and which policies about annotations do not cover. It
// returns the version that the pod has then, and what was refused. Any other error than
// [ErrUnwritable] is passed on, nil too. With a version, the pod must still have that one.
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

// told tells of a refusal, unless what was tried instead is still to be decided, and returns the
// error of that.
func (t *Terminator) told(obj client.Object, r reason.Reason, refused, instead error) error {
	if instead == nil || errors.Is(instead, ErrUnwritable) {
		t.tell(Refusal{Object: obj, Reason: r, Held: instead == nil, Err: refused})
	}
	return instead
}

// heldSince tells since when a condition of the pod holds a reason.
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

// release takes the condition that holds a reason off a pod that lives on.
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

// asUnwritable turns a refusal into ErrUnwritable. A right that RBAC withholds is none: it is ours
// to be given, and an API server that has just started refuses so until it has read the roles.
// Validation answers 422, a body that is too large 413; admission answers what its author likes, in
// these words (k8s.io/apiserver v0.37 pkg/admission/plugin/webhook/errors/statuserror.go,
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
