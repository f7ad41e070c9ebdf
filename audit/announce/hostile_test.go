package announce

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/test/hostile"
)

// Whoever writes a code, a sentence or a Job's condition moves no cursor by it, writes no more than
// an Event may hold, and nothing at all where people other than the pod's own read.
func TestHostileWordsInEvents(t *testing.T) {
	t.Parallel()
	for _, words := range []string{hostile.Text, strings.Repeat(hostile.Text, 1<<20/len(hostile.Text))} {
		for _, pods := range []int{1, 80} {
			s := newStage(t, func(o *Options) {
				o.More = func(context.Context, corev1.ObjectReference, int) (string, error) {
					return words, nil
				}
			})
			for n := range pods {
				e := drained(fmt.Sprintf("p-%d", n))
				e.Code, e.Text = words, words
				s.Tell(e)
			}
			s.after(t, settle)
			notes := s.wire.notes()
			for _, kind := range []string{"Pod", "Job", "Node"} {
				if kind != "Pod" && len(notes[kind]) != 1 {
					t.Errorf("%d pods: the %s has the Events %.200q, want one", pods, kind, notes[kind])
				}
				for _, note := range notes[kind] {
					_, told, _ := strings.Cut(note, " x")
					if found, ok := hostile.Obeyed(told); ok || len(told) > audit.MaxNoteBytes+3 {
						t.Errorf("%d pods: of the %s, %d bytes say %q", pods, kind, len(told), found)
					}
					if strings.Contains(told, "script") == (kind == "Node") {
						t.Errorf("%d pods: the %s's Event says %.200q", pods, kind, told)
					}
				}
			}
		}
	}
}
