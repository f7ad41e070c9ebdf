package termination

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/epitaph-k8s/epitaph/reason"
)

func aNode(annotations map[string]string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u2", ResourceVersion: "7",
		Annotations: annotations}}
}

var panicked = reason.Evidence{What: reason.EvidencePanic, Detail: "Oops", When: noon, BootID: "b1"}

func TestMarkDead(t *testing.T) {
	t.Parallel()
	r := reason.Reason{Code: reason.KernelPanic, Text: "x", By: "me"}
	const intent = `"epitaph-k8s.io/marked-dead":"{\"what\":\"panic\",\"detail\":\"Oops\",\"when\":\"2026-05-01T12:00:30Z\",\"bootID\":\"b1\"}"`
	const tail = `,"resourceVersion":"7","uid":"u2"}}`
	term, w := terminator()
	for _, node := range []*corev1.Node{aNode(nil),
		aNode(map[string]string{reason.DefaultKeys().Node.Reason: "rack move"})} {
		if err := term.MarkDead(t.Context(), node, r, panicked); err != nil {
			t.Errorf("MarkDead = %v", err)
		}
	}
	want := []string{
		`PATCH n1 {"metadata":{"annotations":{` + intent +
			`,"node.titus.netflix.com/node-termination-by-caller":"me",` +
			`"node.titus.netflix.com/node-termination-reason":"x","node.titus.netflix.com/node-termination-reason-code":"KernelPanic"}` + tail,
		`PATCH n1 {"metadata":{"annotations":{` + intent + `}` + tail,
	}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	term, _ = terminator(apierrors.NewConflict(schema.GroupResource{Resource: "nodes"},
		"n1", errors.New("changed")))
	if err := term.MarkDead(t.Context(), aNode(nil), r, panicked); !errors.Is(err, ErrChanged) {
		t.Errorf("another replica was faster: MarkDead = %v, want ErrChanged", err)
	}
}

func TestMarkDeaded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value string
		want  bool
	}{
		"an intent": {`{"what":"panic","when":"2026-05-01T12:00:30Z","bootID":"b1"}`,
			true},
		"none":               {"", false},
		"no JSON":            {"panic", false},
		"without a boot":     {`{"what":"panic","when":"2026-05-01T12:00:30Z"}`, false},
		"larger than we are": {`{"bootID":"` + strings.Repeat("b", 8<<10) + `"}`, false},
	}
	for name, tt := range tests {
		if e, ok := MarkedDead(
			aNode(map[string]string{reason.MarkedDeadKey: tt.value})); ok != tt.want ||
			ok && e.BootID != "b1" {
			t.Errorf("%s: %+v, %t, want %t", name, e, ok, tt.want)
		}
	}
}

// A reason that somebody else wrote on the node in the meantime stays.
func TestUnmarkDeadTakesOnlyItsOwnReasonBack(t *testing.T) {
	t.Parallel()
	k := reason.DefaultKeys().Node
	ours := reason.Reason{Code: reason.KernelPanic, Text: "x", By: "me"}
	term, w := terminator()
	for _, text := range []string{"x", "rack move"} {
		if err := term.UnmarkDead(t.Context(),
			aNode(map[string]string{k.Reason: text, k.Code: "KernelPanic", k.By: "me"}),
			ours); err != nil {
			t.Errorf("UnmarkDead = %v", err)
		}
	}
	want := []string{
		`PATCH n1 {"metadata":{"annotations":{"epitaph-k8s.io/marked-dead":null,"node.titus.netflix.com/node-termination-by-caller":null,` +
			`"node.titus.netflix.com/node-termination-reason":null,"node.titus.netflix.com/node-termination-reason-code":null},"resourceVersion":"7","uid":"u2"}}`,
		`PATCH n1 {"metadata":{"annotations":{"epitaph-k8s.io/marked-dead":null},"resourceVersion":"7","uid":"u2"}}`,
	}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAddEvidenceWritesOnce(t *testing.T) {
	t.Parallel()
	term, w := terminator()
	const known = `[{"what":"panic","detail":"Oops","when":"2026-05-01T12:00:30Z","bootID":"b1"}]`
	if err := term.AddEvidence(t.Context(), aNode(map[string]string{reason.EvidenceKey: known}),
		panicked); err != nil || len(w.sent) > 0 {
		t.Errorf("evidence that is there: AddEvidence = %v, sent %q", err, w.sent)
	}
}

// Only the same finding about the same boot is the same evidence.
func TestAddEvidenceAddsWhatIsNew(t *testing.T) {
	t.Parallel()
	const known = `[{"what":"panic","detail":"Oops","when":"2026-05-01T12:00:30Z","bootID":"b1"}]`
	for name, change := range map[string]func(*reason.Evidence){
		"another kind":   func(e *reason.Evidence) { e.What = reason.EvidenceHardware },
		"another person": func(e *reason.Evidence) { e.Who = "bob" },
		"another detail": func(e *reason.Evidence) { e.Detail = "BUG" },
		"another boot":   func(e *reason.Evidence) { e.BootID = "b2" },
	} {
		term, w := terminator()
		e := panicked
		change(&e)
		node := aNode(map[string]string{reason.EvidenceKey: known})
		if err := term.AddEvidence(t.Context(), node, e); err != nil || len(w.sent) != 1 {
			t.Errorf("%s: AddEvidence = %v, sent %q", name, err, w.sent)
			continue
		}
		node.Annotations = annotationsSent(t, w.sent[0])
		all, err := reason.EvidenceOn(node)
		if diff := cmp.Diff([]reason.Evidence{panicked, e}, all); err != nil || diff != "" {
			t.Errorf("%s: %v, -want +got:\n%s", name, err, diff)
		}
	}
}

// However much evidence there is, in whatever characters, what is written can be read again.
func TestAddEvidenceStaysReadable(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"words": "x", "what JSON escapes": "<",
		"what we escape": "\x1b", "runes": "é"} {
		node := aNode(nil)
		for n := range 2 * maxEvidence {
			term, w := terminator()
			e := panicked
			e.Detail = string(rune('a'+n)) + strings.Repeat(text, 2000)
			if err := term.AddEvidence(t.Context(), node, e); err != nil {
				t.Fatal(err)
			}
			node.Annotations = annotationsSent(t, w.sent[0])
		}
		all, err := reason.EvidenceOn(node)
		if err != nil || len(all) == 0 {
			t.Errorf("%s: %d pieces, %v", name, len(all), err)
		} else if last := all[len(all)-1].Detail; !strings.HasPrefix(last,
			string(rune('a'+2*maxEvidence-1))) {
			t.Errorf("%s: the latest piece was dropped, the last is %.20q", name, last)
		}
	}
}

func TestForgetLeavesWhatCounts(t *testing.T) {
	t.Parallel()
	const known = `[{"what":"halt","who":"bob","when":"2026-05-01T12:00:00Z","bootID":"b0"},{"what":"panic","detail":"Oops","when":"2026-05-01T12:00:30Z","bootID":"b1"}]`
	ofBoot := func(boots ...string) func(reason.Evidence) bool {
		return func(e reason.Evidence) bool { return slices.Contains(boots, e.BootID) }
	}
	tests := map[string]struct {
		survived func(reason.Evidence) bool
		wantSent string // the value of the annotation in the patch; empty for no patch at all
	}{
		"nothing was survived": {ofBoot("b2"), ""},
		"an earlier boot was": {ofBoot("b0"),
			`"[{\"what\":\"panic\",\"detail\":\"Oops\",\"when\":\"2026-05-01T12:00:30Z\",\"bootID\":\"b1\"}]"`},
		"everything was survived": {ofBoot("b0", "b1"), "null"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term, w := terminator()
			if err := term.RemoveEvidence(t.Context(),
				aNode(map[string]string{reason.EvidenceKey: known}), tc.survived); err != nil {
				t.Fatal(err)
			}
			if tc.wantSent == "" {
				if len(w.sent) > 0 {
					t.Errorf("sent %q, want nothing", w.sent)
				}
				return
			}
			if want := `"` + reason.EvidenceKey + `":` + tc.wantSent; len(w.sent) != 1 ||
				!strings.Contains(w.sent[0], want) {
				t.Errorf("sent %q, want %s in it", w.sent, want)
			}
		})
	}
}

func annotationsSent(t *testing.T, sent string) map[string]string {
	t.Helper()
	var patch struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(sent[strings.Index(sent, "{"):]), &patch); err != nil {
		t.Fatal(err)
	}
	return patch.Metadata.Annotations
}
