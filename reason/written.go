package reason

import (
	"strings"
	"time"
)

// WrittenPrecision is how much later than its mark says a reason may have been written.
const WrittenPrecision = time.Minute

// supposing ends the word about a text that is [Reason.Supposed].
const supposing = "?"

// Written is the content of a mark.
type Written struct {
	// At is when it was written, at the earliest.
	At time.Time
	// What is the word about what was written.
	What string
	// Supposed is that of the [Reason] that was written.
	Supposed bool
	// For is the user who asked for the deletion; empty if the mark does not say.
	For string
}

// ReadWritten reads the mark among the annotations.
func ReadWritten(annotations map[string]string) (Written, bool) {
	mark, marked := annotations[WrittenKey]
	if !marked {
		return Written{}, false
	}
	when, rest, _ := strings.Cut(mark, " ")
	at, err := time.Parse(time.RFC3339, when)
	if err != nil {
		return Written{}, false
	}
	word, user, _ := strings.Cut(rest, " ")
	what, supposed := strings.CutSuffix(word, supposing)
	return Written{At: at, What: what, Supposed: supposed, For: clean(user, MaxByBytes)}, true
}

// String returns the mark.
func (w Written) String() string {
	word := w.What
	if w.Supposed {
		word += supposing
	}
	m := w.At.UTC().Truncate(WrittenPrecision).Format(time.RFC3339) + " " + word + " " +
		clean(w.For, MaxByBytes)
	return strings.TrimSuffix(m, " ")
}

// WrittenAt returns when Epitaph, at the earliest, wrote before the deletion of the object with
// these annotations.
func WrittenAt(annotations map[string]string) (time.Time, bool) {
	w, ok := ReadWritten(annotations)
	return w.At, ok
}

// maxWrittenAhead is how far a mark and the deletion that it was written for can be apart. The API
// server gives a request a minute, also an eviction, whose mark comes when the pod terminates; and
// the mark has whole minutes.
const maxWrittenAhead = 2 * WrittenPrecision

// DeletedBy returns the user who asked for the deletion that began at the given time, according to
// the mark among the annotations. It is empty if there is no mark, or one of another deletion,
// which did not come about.
func DeletedBy(annotations map[string]string, began time.Time) string {
	w, ok := ReadWritten(annotations)
	if !ok || began.Sub(w.At).Abs() > maxWrittenAhead {
		return ""
	}
	return w.For
}

// Told reports whether the annotations of a terminating pod hold a reason of somebody who knew of
// its deletion. The garbage collector did not: on a pod that nobody gave a reason it writes what it
// infers, names an unknown remover, and leaves no mark. The webhook configuration makes the same
// distinction, so that the final DELETE of such a pod is admitted.
func (k Keys) Told(annotations map[string]string) bool {
	said, err := k.Read(annotations)
	_, marked := annotations[WrittenKey]
	return err == nil && (marked || said.By != UnknownRemover)
}
