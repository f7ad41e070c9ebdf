package obituary

import (
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
)

// The bounds of the CRD, which counts characters where these count bytes.
const (
	maxCodeBytes  = 64
	maxPhaseBytes = 32
	maxKindBytes  = 63
	maxUIDBytes   = 64
	// maxAPIVersionBytes has room for a group, which is a DNS subdomain, and a version, which is a
	// label.
	maxAPIVersionBytes = MaxNameBytes + 1 + maxKindBytes
	// MaxOwners is how many owners an obituary has room for.
	MaxOwners = 8
)

// Of returns the obituary of a pod that left at the given time. Its owner is the nearest one, which
// the pod itself names.
func Of(pod *corev1.Pod, r reason.Reason, left time.Time) *v1alpha1.PodObituary {
	ends, omitted := containers(pod)
	gone := metav1.NewTime(left.Truncate(time.Second))
	o := &v1alpha1.PodObituary{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: Name(pod.Name, pod.UID)},
		Spec: v1alpha1.PodObituarySpec{
			PodName:           pod.Name,
			PodUID:            pod.UID,
			NodeName:          reason.CleanTo(pod.Spec.NodeName, MaxNameBytes),
			Code:              CodeOf(r),
			Class:             reason.Code(CodeOf(r)).Class().String(),
			Reason:            string(reason.Clean(string(r.Text))),
			By:                reason.CleanTo(r.By, reason.MaxByBytes),
			DeletedBy:         deletedBy(pod),
			Phase:             reason.CleanTo(string(pod.Status.Phase), maxPhaseBytes),
			Created:           orElse(valid(pod.CreationTimestamp), gone),
			Began:             began(pod),
			DeletionRequested: DeletionRequested(pod),
			DisruptionTarget:  isDisrupted(pod),
			RefusedAtOnce:     RefusedAtOnce(pod),
			Removed:           gone,
			Containers:        ends,
			ContainersOmitted: omitted,
			Requests:          requests(pod),
			Limits:            limits(pod),
		},
	}
	if c := metav1.GetControllerOfNoCopy(pod); c != nil {
		o.Spec.Owners = []v1alpha1.Owner{OwnerOf(c)}
	}
	return o
}

// began returns when the kubelet took the pod on.
func began(pod *corev1.Pod) *metav1.Time {
	if pod.Status.StartTime == nil {
		return nil
	}
	return valid(*pod.Status.StartTime)
}

// Judge sets the verdict of an obituary that is otherwise complete.
func Judge(o *v1alpha1.PodObituary) {
	verdict := story.Judge(o)
	o.Spec.Verdict = &verdict
}

// VerdictOn returns the verdict on a pod that is failed for r, as the JSON of its annotation.
func VerdictOn(pod *corev1.Pod, r reason.Reason) string {
	// A struct of strings is always encoded.
	verdict, _ := json.Marshal(story.Judge(Of(pod, r, time.Time{})))
	return string(verdict)
}

// deletedBy returns who asked for the deletion of a terminating pod, according to its mark.
func deletedBy(pod *corev1.Pod) string {
	if asked := DeletionRequested(pod); asked != nil {
		return reason.DeletedBy(pod.Annotations, asked.Time)
	}
	return ""
}

// isDisrupted reports whether the pod has the condition, which is set for disruptions and nothing
// else (KEP-3329).
func isDisrupted(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	})
}

// CodeOf returns the code under which r is filed: words without a code are a request, no words are
// a finding.
func CodeOf(r reason.Reason) string {
	code := reason.CleanTo(string(r.Code), maxCodeBytes)
	switch {
	case code != "":
		return code
	case r.IsZero():
		return string(reason.Unexplained)
	default:
		return string(reason.UserRequest)
	}
}

// OwnerOf returns an owner as an obituary names it. The reference comes from whoever created the
// object.
func OwnerOf(ref *metav1.OwnerReference) v1alpha1.Owner {
	return v1alpha1.Owner{
		APIVersion: reason.CleanTo(ref.APIVersion, maxAPIVersionBytes),
		Kind:       reason.CleanTo(ref.Kind, maxKindBytes),
		Name:       reason.CleanTo(ref.Name, MaxNameBytes),
		UID:        types.UID(reason.CleanTo(string(ref.UID), maxUIDBytes)),
	}
}

// DeletionRequested returns when the deletion of the pod was asked for: its deletion timestamp is
// later by the grace period (K8s v1.37 k8s.io/apiserver pkg/registry/rest, BeforeDelete). It is nil
// for a pod that vanished at once.
//
// A DELETE after the grace period has run out moves the timestamp to its own time (same function).
// The mark that Epitaph wrote before the first DELETE is older then, to the minute.
func DeletionRequested(pod *corev1.Pod) *metav1.Time {
	if pod.DeletionTimestamp == nil {
		return nil
	}
	asked := pod.DeletionTimestamp.Time
	if grace := pod.DeletionGracePeriodSeconds; grace != nil {
		asked = asked.Add(-time.Duration(*grace) * time.Second)
	}
	if written, ok := reason.WrittenAt(pod.Annotations); ok &&
		asked.Sub(written) > reason.WrittenPrecision &&
		!written.Before(pod.CreationTimestamp.Time) {
		asked = written
	}
	return valid(metav1.NewTime(asked))
}

// valid returns t, or nil if t is not set or of a year that RFC 3339 cannot represent: that, too,
// comes from outside.
func valid(t metav1.Time) *metav1.Time {
	if year := t.UTC().Year(); t.IsZero() || year < 1 || year > 9999 {
		return nil
	}
	return &t
}

// TimeOr returns t, or otherwise if t cannot be represented.
func TimeOr(t time.Time, otherwise metav1.Time) metav1.Time {
	return orElse(valid(metav1.NewTime(t)), otherwise)
}

func orElse(t *metav1.Time, otherwise metav1.Time) metav1.Time {
	if t != nil {
		return *t
	}
	return otherwise
}
