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

// Words that stand in the place of the digest where the text is somebody else's.
const (
	// completed: only code and actor are ours.
	completed = "completed"
	// asked: nothing is ours but the mark, which says who asked for the deletion.
	asked = "asked"
	// collected: we ended the object ourselves. It is never left over: whoever ended it deletes it,
	// however often that takes.
	collected = "collected"
)

// mark has whole minutes, so that it is the same for the repeated calls of one admission: a write
// that changes nothing costs no revision.
func mark(what, user string, now time.Time) string {
	return reason.Written{At: now, What: what, For: user}.String()
}

func digest(text reason.Text) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash takes everything
	return fmt.Sprintf("%016x", h.Sum64())
}

// Leftover tells whether the object lives on with something that we wrote, and since when at the
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

// WrittenFor tells whether the object lives on with a reason that we wrote, and whose deletion it
// was written for. Whoever else deletes the object does it for a reason of their own.
func (t *Terminator) WrittenFor(obj client.Object) (user string, ours bool) {
	subject, err := subjectOf(obj)
	if err != nil || obj.GetDeletionTimestamp() != nil {
		return "", false
	}
	w, ok := reason.ReadWritten(obj.GetAnnotations())
	return w.For, ok && t.wrote(obj, subject, w)
}

// Wrote tells whether the reason on the object is one that we wrote ahead of its deletion: in its
// annotations, or in the condition that only we write.
func (t *Terminator) Wrote(obj client.Object) bool {
	subject, err := subjectOf(obj)
	if pod, ok := obj.(*corev1.Pod); ok && !t.keys.Pod.Has(pod.Annotations) {
		_, held := reason.HeldOn(pod)
		return held
	}
	w, ok := reason.ReadWritten(obj.GetAnnotations())
	return err == nil && ok && t.wrote(obj, subject, w)
}

// wrote tells whether the reason on the object is the one that was written with the mark.
func (t *Terminator) wrote(obj client.Object, subject reason.Subject, w reason.Written) bool {
	return w.What == digest(reason.Text(obj.GetAnnotations()[t.keys.Of(subject).Reason]))
}

// Clear takes what we wrote off an object that lives on; the words of somebody else stay. It fails
// with [ErrChanged] if anybody wrote to the object since it was read: perhaps its deletion.
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
