package reason

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Held returns the condition that holds r. A third line says that r is [Reason.Supposed].
func Held(r Reason, now time.Time) corev1.PodCondition {
	message := string(r.Text) + "\n" + clean(r.By, MaxByBytes)
	if r.Supposed {
		message += "\n" + supposing
	}
	return corev1.PodCondition{
		Type:               HeldIn,
		Status:             corev1.ConditionTrue,
		Reason:             clean(string(r.Code), maxCodeBytes),
		Message:            message,
		LastTransitionTime: metav1.NewTime(now),
	}
}

// HeldOn returns the reason that a condition of the pod holds, if one does. A text has no line
// breaks, so the first one ends it.
func HeldOn(pod *corev1.Pod) (Reason, bool) {
	c := podCondition(pod, HeldIn)
	if c == nil || c.Status != corev1.ConditionTrue {
		return Reason{}, false
	}
	said, rest, _ := strings.Cut(c.Message, "\n")
	by, more, _ := strings.Cut(rest, "\n")
	text, err := ParseText(said)
	if err != nil {
		return Reason{}, false
	}
	return Reason{Code: Code(clean(c.Reason, maxCodeBytes)), Text: text, By: clean(by, MaxByBytes),
		Supposed: more == supposing}, true
}

// OnPod returns the reason that the pod carries, in its annotations or in the condition [HeldIn].
// The annotations come first: anybody who may change the pod can correct them. The condition
// completes what they leave out. The error is that of [Keys.Read].
func (k Keys) OnPod(pod *corev1.Pod) (Reason, error) {
	r, err := k.Read(pod.Annotations)
	held, ok := HeldOn(pod)
	switch {
	case !ok:
		return r, err
	case err != nil:
		return held, nil
	case r.Text != held.Text:
		return r, nil
	}
	if r.Code == "" {
		r.Code = held.Code
	}
	if r.By == "" {
		r.By = held.By
	}
	return r, nil
}
