package reason

import "testing"

// Who knows only the key of the sentence writes no more.
func TestAnnotationsOfKeysThatAreNotKnown(t *testing.T) {
	t.Parallel()
	r := New(Pod, UserRequest, "why", "carol")
	got := Keys{Reason: "example.com/why"}.Annotations(r)
	if len(got) != 1 || got["example.com/why"] != string(r.Text) {
		t.Errorf("the annotations are %q", got)
	}
}
