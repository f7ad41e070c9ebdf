package termination

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Words that replace the digest in the mark.
const (
	// completed: only the code and the actor are ours.
	completed = "completed"
	// asked: only the mark is ours; it says who requested the deletion.
	asked = "asked"
	// collected: we terminated the object ourselves. This is never a leftover: the same process
	// deletes the object, with as many retries as it takes.
	collected = "collected"
)

// mark has a precision of minutes, so that it is the same for repeated calls of one admission: a
// write that changes nothing costs no revision.
func mark(what, user string, now time.Time) string {
	return reason.Written{At: now, What: what, For: user}.String()
}

func digest(text reason.Text) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash never returns an error
	return fmt.Sprintf("%016x", h.Sum64())
}

// Leftover reports whether the object lives on with something that we wrote, and since when at the
// earliest.
func (t *Terminator) Leftover(obj client.Object) (since time.Time, ok bool) {
	subject, err := subjectOf(obj)
	if err != nil || obj.GetDeletionTimestamp() != nil {
		return time.Time{}, false
	}
	if since, held := heldSince(obj); held {
		return since, true
	}
	w, ok := reason.ReadWritten(obj.GetAnnotations())
	return w.At, ok && (w.What == completed || w.What == asked || t.wrote(obj, subject, w))
}

// WrittenFor reports whether the object lives on with a reason that we wrote, and for which user's
// deletion. Any other user who deletes the object has a reason of their own.
func (t *Terminator) WrittenFor(obj client.Object) (user string, ours bool) {
	subject, err := subjectOf(obj)
	if err != nil || obj.GetDeletionTimestamp() != nil {
		return "", false
	}
	w, ok := reason.ReadWritten(obj.GetAnnotations())
	return w.For, ok && t.wrote(obj, subject, w)
}

// Wrote reports whether we wrote the reason on the object ahead of its deletion, into its
// annotations or into the condition that only we write.
func (t *Terminator) Wrote(obj client.Object) bool {
	subject, err := subjectOf(obj)
	if pod, ok := obj.(*corev1.Pod); ok && !t.keys.Pod.Has(pod.Annotations) {
		_, held := reason.HeldOn(pod)
		return held
	}
	w, ok := reason.ReadWritten(obj.GetAnnotations())
	return err == nil && ok && t.wrote(obj, subject, w)
}

// wrote reports whether the reason on the object is the one that was written with the mark.
func (t *Terminator) wrote(obj client.Object, subject reason.Subject, w reason.Written) bool {
	return w.What == digest(reason.Text(obj.GetAnnotations()[t.keys.Of(subject).Reason]))
}

// Clear removes what we wrote from an object that lives on; what others wrote stays. The error is
// [ErrChanged] if anybody has written to the object since it was read: that may be its deletion.
func (t *Terminator) Clear(ctx context.Context, obj client.Object) error {
	subject, err := subjectOf(obj)
	if err != nil {
		return err
	}
	if _, held := heldSince(obj); held {
		return t.release(ctx, obj.(*corev1.Pod))
	}
	keys := t.keys.Of(subject)
	ours := map[string]any{reason.WrittenKey: nil}
	w, _ := reason.ReadWritten(obj.GetAnnotations())
	if w.What != asked {
		ours[keys.Code], ours[keys.By] = nil, nil
		if w.What != completed {
			ours[keys.Reason] = nil
		}
	}
	return t.annotateUnchanged(ctx, obj, ours)
}
