package termination

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// The API server's answers to a patch that it will never accept, and to one that it may accept
// later [seen: v1.37.2].
const (
	statusPolicy = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"p\" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'x' denied request: failed expression: false",` +
		`"reason":"Invalid","details":{"name":"p","kind":"pods","causes":[{"message":"ValidatingAdmissionPolicy 'x' with binding 'x' denied request: failed expression: false"}]},"code":422}`
	statusWebhook = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"admission webhook \"x.example.com\" denied the request: no","code":418}`
	statusNoRight = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"p\" is forbidden: User \"epitaph\" cannot patch resource \"pods/status\" in API group \"\" in the namespace \"batch\"","reason":"Forbidden","details":{"name":"p","kind":"pods"},"code":403}`
	statusAway    = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Internal error occurred: failed calling webhook \"x.example.com\"","reason":"InternalError","code":500}`
)

func TestUnwritable(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer string
		want   bool
	}{
		"the annotations are full":       {statusTooLong, true},
		"a policy refuses":               {statusPolicy, true},
		"a webhook refuses, by any code": {statusWebhook, true},
		"RBAC withholds the right":       {statusNoRight, false},
		"somebody's webhook is away":     {statusAway, false},
		"it is another object":           {statusOtherUID, false},
		"it is gone":                     {statusMissing, false},
		"the patch's test failed":        {statusTestFailed, false},
		"it has changed":                 {statusConflict, false},
	} {
		err := answered(t, tt.answer)
		if got := errors.Is(asUnwritable(asStale(asChanged(asGone(err)))),
			ErrUnwritable); got != tt.want {
			t.Errorf("%s: unwritable %t, want %t", name, got, tt.want)
		}
	}
}

// telling returns a terminator that appends its refusals to told.
func telling(told *[]Refusal, answers ...error) (*Terminator, *wire) {
	term, w := terminator(answers...)
	Telling(func(r Refusal) { *told = append(*told, r) })(term)
	return term, w
}

var disk = reason.New(reason.Pod, reason.HardwareFailure, "sda", "ops")

// A pod whose annotations are full is failed without them and deleted; one that cannot be written
// at all is deleted.
func TestTerminatePodGoesOn(t *testing.T) {
	t.Parallel()
	const condition = `"type":"epitaph-k8s.io/TerminationReason"`
	for name, tt := range map[string]struct {
		answers []error
		writes  int
		held    bool
	}{
		"annotations alone are refused": {[]error{answered(t, statusTooLong)}, 3, true},
		"a kubelet has said why since": {[]error{answered(t, statusPolicy),
			answered(t, statusPolicy)}, 4, true},
		"everything is refused": {[]error{answered(t, statusPolicy),
			answered(t, statusPolicy), answered(t, statusPolicy)}, 4, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told []Refusal
			term, w := telling(&told, tt.answers...)
			if err := term.TerminatePod(t.Context(), aPod(), disk); err != nil {
				t.Fatalf("TerminatePod = %v", err)
			}
			if len(w.sent) != tt.writes || !strings.HasPrefix(w.sent[tt.writes-1], "DELETE p ") {
				t.Fatalf("sent %q, want %d writes, the last a DELETE", w.sent, tt.writes)
			}
			second := w.sent[1]
			if strings.Contains(second, "annotations") || !strings.Contains(second, condition) ||
				!strings.Contains(second, `"phase":"Failed"`) ||
				!strings.Contains(second, `"type":"DisruptionTarget"`) {
				t.Errorf("the second patch is %s, want phase and conditions without annotations",
					second)
			}
			if tt.writes == 4 && strings.Contains(w.sent[2], `"Failed","reason"`) {
				t.Errorf("the third patch is %s, want no reason in the status", w.sent[2])
			}
			if len(told) != 1 || told[0].Reason != disk || told[0].Held != tt.held {
				t.Errorf("told %+v, want the reason once, held %t", told, tt.held)
			}
		})
	}
}

func TestTransientErrorsEndTheTermination(t *testing.T) {
	t.Parallel()
	var told []Refusal
	term, w := telling(&told, answered(t, statusTooLong), answered(t, statusAway))
	if err := term.TerminatePod(t.Context(), aPod(), disk); err == nil ||
		errors.Is(err, ErrUnwritable) {
		t.Errorf("TerminatePod = %v, want an error to be repeated", err)
	}
	if len(w.sent) != 2 || told != nil {
		t.Errorf("sent %q and told %+v, want two patches and nothing told", w.sent, told)
	}
}

func TestAnnotateHoldsInstead(t *testing.T) {
	t.Parallel()
	var told []Refusal
	term, _ := telling(&told, answered(t, statusTooLong))
	if version, err := term.Annotate(t.Context(), aPod(), disk); version != "8" ||
		!errors.Is(err, ErrUnwritable) {
		t.Errorf("Annotate = %q, %v, want the version of the pod that holds it, and ErrUnwritable",
			version, err)
	}
	holding := aPod(func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{reason.Held(disk, noon)}
	})
	term, w := telling(&told, answered(t, statusTooLong))
	if version, err := term.Annotate(t.Context(), holding, disk); version != "7" || err != nil ||
		len(w.sent) != 1 {
		t.Errorf("Annotate of a pod that holds it = %q, %v after %q, want no second write", version,
			err, w.sent)
	}
	node := &corev1.Node{}
	node.Name, node.UID = "n", "u"
	term, _ = telling(&told, answered(t, statusTooLong))
	if _, err := term.Annotate(t.Context(), node, disk); !errors.Is(err, ErrUnwritable) {
		t.Errorf("Annotate of a Node = %v, want ErrUnwritable", err)
	}
	if len(told) != 2 || !told[0].Held || told[1].Held {
		t.Errorf("told %+v, want the pod's, held, and the Node's, not held", told)
	}
}

func TestHeldReasonIsALeftover(t *testing.T) {
	t.Parallel()
	holding := aPod(func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{reason.Held(disk, noon)}
	})
	term, w := terminator()
	if since, ok := term.Leftover(holding); !ok || !since.Equal(noon) {
		t.Errorf("leftover %t since %s, want one since noon", ok, since)
	}
	if err := term.Clear(t.Context(), holding); err != nil {
		t.Fatal(err)
	}
	const want = `PATCH p {"metadata":{"resourceVersion":"7","uid":"u1"},"status":{"conditions":[{"$patch":"delete","type":"epitaph-k8s.io/TerminationReason"}]}}`
	if len(w.sent) != 1 || w.sent[0] != want {
		t.Errorf("sent %q, want %q", w.sent, want)
	}
}
