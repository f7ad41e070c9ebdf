package reason

import (
	"strings"
	"time"
)

// WrittenKey is the annotation that marks a reason which Epitaph wrote ahead of a deletion. It begins with the minute in which
// that was.
const WrittenKey = "epitaph-k8s.io/reason-written"

// WrittenPrecision is how much later than its mark says a reason may have been written.
const WrittenPrecision = time.Minute

// WrittenAt is when Epitaph wrote a reason ahead of the deletion of what has the annotations, at the earliest.
func WrittenAt(annotations map[string]string) (time.Time, bool) {
	when, _, _ := strings.Cut(annotations[WrittenKey], " ")
	at, err := time.Parse(time.RFC3339, when)
	return at, err == nil
}
