package reason

import (
	"strings"
	"time"
)

// WrittenPrecision is how much later than its mark says a reason may have been written.
const WrittenPrecision = time.Minute

// supposing ends the word about a text that is [Reason.Supposed].
const supposing = "?"

// Written is what a mark says.
type Written struct {
	// At is when it was written, at the earliest.
	At time.Time
	// What is the word about what was written.
	What string
	// Supposed is that of the [Reason] that was written.
	Supposed bool
	// For is the user who asked for the deletion; empty where the mark does not say.
	For string
}

// ReadWritten reads the mark among the annotations.
func ReadWritten(annotations map[string]string) (Written, bool) {
	when, rest, _ := strings.Cut(annotations[WrittenKey], " ")
	at, err := time.Parse(time.RFC3339, when)
	if err != nil {
		return Written{}, false
	}
	word, user, _ := strings.Cut(rest, " ")
	what, supposed := strings.CutSuffix(word, supposing)
	return Written{At: at, What: what, Supposed: supposed, For: clean(user, MaxByBytes)}, true
}

// String is the mark.
func (w Written) String() string {
	word := w.What
	if w.Supposed {
		word += supposing
	}
	m := w.At.UTC().Truncate(WrittenPrecision).Format(time.RFC3339) + " " + word + " " +
		clean(w.For, MaxByBytes)
	return strings.TrimSuffix(m, " ")
}

// WrittenAt is when Epitaph wrote ahead of the deletion of what has the annotations, at the
// earliest.
func WrittenAt(annotations map[string]string) (time.Time, bool) {
	w, ok := ReadWritten(annotations)
	return w.At, ok
}

// maxWrittenAhead is how far a mark and the deletion that it was written for can be apart: the API
// server gives a request a minute, as it gives an eviction, whose mark comes when the pod
// terminates; and the mark has whole minutes.
const maxWrittenAhead = 2 * WrittenPrecision

// DeletedBy is the user who asked for the deletion that began at the given time, as the mark among
// the annotations says. It is empty where there is no mark, or one of another deletion, which did
// not come about.
func DeletedBy(annotations map[string]string, began time.Time) string {
	w, ok := ReadWritten(annotations)
	if !ok || began.Sub(w.At).Abs() > maxWrittenAhead {
		return ""
	}
	return w.For
}
