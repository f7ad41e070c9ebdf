package reason

import (
	"maps"
	"testing"
)

// Only what the garbage collector infers of a deletion that it knows nothing of is told by nobody.
func TestTold(t *testing.T) {
	t.Parallel()
	keys := Keys{Reason: "r", Code: "c", By: "b"}
	guess := keys.Annotations(New(Pod, Evicted, "by somebody", UnknownRemover))
	with := func(key, value string) map[string]string {
		changed := maps.Clone(guess)
		changed[key] = value
		return changed
	}
	for name, tt := range map[string]struct {
		annotations map[string]string
		want        bool
	}{
		"nothing":                     {nil, false},
		"a blank reason":              {with("r", " "), false},
		"what the collector inferred": {guess, false},
		"the same, asked for":         {with(WrittenKey, "2026-05-01T12:00:00Z asked bob"), true},
		"by somebody":                 {with("b", "bob"), true},
		"by nobody":                   {with("b", ""), true},
		"what ended the pod":          {with("b", ByGC), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := keys.Told(tt.annotations); got != tt.want {
				t.Errorf("told: %t, want %t", got, tt.want)
			}
		})
	}
}
