package termination

import (
	"context"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// WrittenKey is the annotation that marks what we wrote ahead of a deletion: the minute in which we did, and a digest of the
// reason's text with the user who asked for the deletion, or the word "completed" where only code and actor are ours. A reason whose
// digest differs is somebody else's.
const WrittenKey = reason.WrittenKey

// completed stands in the mark where the words are somebody else's.
const completed = "completed"

// markPrecision keeps the mark the same for the repeated calls of one admission: a write that changes nothing costs no revision.
const markPrecision = reason.WrittenPrecision

func mark(what string, now time.Time) string {
	return now.UTC().Truncate(markPrecision).Format(time.RFC3339) + " " + what
}

func digest(text reason.Text) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash takes everything
	return fmt.Sprintf("%016x", h.Sum64())
}

// Leftover tells whether the object lives on with something that we wrote, and since when at the earliest.
func (t *Terminator) Leftover(obj client.Object) (since time.Time, ok bool) {
	subject, err := subjectOf(obj)
	if err != nil || obj.GetDeletionTimestamp() != nil {
		return time.Time{}, false
	}
	if since, held := heldSince(obj); held {
		return since, true
	}
	when, what, _ := strings.Cut(obj.GetAnnotations()[WrittenKey], " ")
	since, err = time.Parse(time.RFC3339, when)
	_, ours := t.writtenFor(obj, subject)
	return since, err == nil && (what == completed || ours)
}

// WrittenFor tells whether the object lives on with a reason that we wrote, and whose deletion it was written for. Whoever else
// deletes the object does it for a reason of their own.
func (t *Terminator) WrittenFor(obj client.Object) (user string, ours bool) {
	subject, err := subjectOf(obj)
	if err != nil || obj.GetDeletionTimestamp() != nil {
		return "", false
	}
	return t.writtenFor(obj, subject)
}

func (t *Terminator) writtenFor(obj client.Object, subject reason.Subject) (user string, ours bool) {
	_, what, _ := strings.Cut(obj.GetAnnotations()[WrittenKey], " ")
	sum, user, _ := strings.Cut(what, " ")
	return user, sum == digest(reason.Text(obj.GetAnnotations()[t.keys.Of(subject).Reason]))
}

// Clear takes what we wrote off an object that lives on; the words of somebody else stay. It fails with [ErrChanged] if anybody
// wrote to the object since it was read: perhaps its deletion.
func (t *Terminator) Clear(ctx context.Context, obj client.Object) error {
	subject, err := subjectOf(obj)
	if err != nil {
		return err
	}
	if _, held := heldSince(obj); held {
		return t.release(ctx, obj.(*corev1.Pod))
	}
	keys := t.keys.Of(subject)
	ours := map[string]any{keys.Code: nil, keys.By: nil, WrittenKey: nil}
	if !strings.HasSuffix(obj.GetAnnotations()[WrittenKey], " "+completed) {
		ours[keys.Reason] = nil
	}
	return t.annotateUnchanged(ctx, obj, ours)
}
