package termination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
)

// These tests check the bytes that are sent and the errors that are understood; test/e2e proves
// against a real API server what it makes of them.

var noon = time.Date(2026, 5, 1, 12, 0, 30, 0, time.UTC)

// A wire records what would go to the API server, and answers with one error after the other, then
// without error.
type wire struct {
	client.Client
	sent    []string
	answers []error
}

func (w *wire) answer() error {
	if len(w.answers) == 0 {
		return nil
	}
	err := w.answers[0]
	w.answers = w.answers[1:]
	return err
}

func (w *wire) Status() client.SubResourceWriter { return wireStatus{w: w} }

func (w *wire) Delete(_ context.Context, obj client.Object, opts ...client.DeleteOption) error {
	o := client.DeleteOptions{}
	o.ApplyOptions(opts)
	options, err := json.Marshal(o.AsDeleteOptions())
	w.sent = append(w.sent, fmt.Sprintf("DELETE %s %s", obj.GetName(), options))
	return errors.Join(err, w.answer())
}

type wireStatus struct {
	client.SubResourceWriter
	w *wire
}

func (s wireStatus) Patch(_ context.Context, obj client.Object, patch client.Patch,
	_ ...client.SubResourcePatchOption) error {
	data, err := patch.Data(obj)
	s.w.sent = append(s.w.sent, fmt.Sprintf("PATCH %s %s", obj.GetName(), data))
	obj.SetResourceVersion("8")
	return errors.Join(err, s.w.answer())
}

func terminator(answers ...error) (*Terminator, *wire) {
	w := &wire{answers: answers}
	return New(w, reason.DefaultKeys(), clocktesting.NewFakePassiveClock(noon)), w
}

func aPod(change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "p", UID: "u1",
		ResourceVersion: "7", Generation: 3}}
	pod.Status.Phase = corev1.PodRunning
	for _, c := range change {
		c(pod)
	}
	return pod
}

func terminating(grace int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: noon}, &grace
	}
}

func inPhase(phase corev1.PodPhase) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Phase = phase }
}

func said(why string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Reason = why }
}

func TestVanishing(t *testing.T) {
	t.Parallel()
	held := func(p *corev1.Pod) { p.Finalizers = []string{"batch.kubernetes.io/job-tracking"} }
	tests := map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"lives":                    {aPod(), false},
		"terminates with grace":    {aPod(terminating(30)), false},
		"terminates without grace": {aPod(terminating(0)), true},
		"a finalizer holds it":     {aPod(terminating(0), held), false},
		"terminates, the grace is not set": {
			aPod(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} }), true},
	}
	for name, tt := range tests {
		if got := reason.Vanishing(tt.pod); got != tt.want {
			t.Errorf("%s: vanishing %t, want %t", name, got, tt.want)
		}
	}
}

// A write to a vanishing pod deletes it and loses the text: nothing may be sent.
func TestNothingIsWrittenToAVanishingPod(t *testing.T) {
	t.Parallel()
	r := reason.New(reason.Pod, reason.NodeDeleted, "n1", "me")
	term, w := terminator()
	_, annotated := term.Annotate(t.Context(), aPod(terminating(0)), r)
	_, complete := term.Complete(t.Context(), aPod(terminating(0)), r, "alice")
	for name, err := range map[string]error{
		"Annotate": annotated, "Complete": complete,
		"AnnotateUnchanged": term.AnnotateUnchanged(t.Context(), aPod(terminating(0)), r),
	} {
		if !errors.Is(err, ErrVanishing) {
			t.Errorf("%s = %v, want ErrVanishing", name, err)
		}
	}
	if err := term.TerminatePod(t.Context(), aPod(terminating(0)), r); err != nil {
		t.Errorf("TerminatePod = %v", err)
	}
	want := []string{`DELETE p {"gracePeriodSeconds":0,"preconditions":{"uid":"u1"}}`}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

const annotationsOfDisk = `"annotations":{"pod.titus.netflix.com/pod-termination-by-caller":"ops",` +
	`"pod.titus.netflix.com/pod-termination-reason":"This pod had to be terminated because the underlying hardware failed (sda)",` +
	`"pod.titus.netflix.com/pod-termination-reason-code":"HardwareFailure"}`

// markedDisk also says that we delete the pod.
var markedDisk = strings.Replace(annotationsOfDisk,
	`{`, `{"epitaph-k8s.io/reason-written":"2026-05-01T12:00:00Z collected epitaph/gc",`, 1)

// reasonOfDisk is what `kubectl get pod` shows.
const reasonOfDisk = `"reason":"HardwareFailure",` +
	`"message":"This pod had to be terminated because the underlying hardware failed (sda)",`

// Annotations, phase, reason and condition go in one patch, and the DELETE names the state that it
// left: two writes per pod.
func TestTerminatePod(t *testing.T) {
	t.Parallel()
	disk := reason.New(reason.Pod, reason.HardwareFailure, "sda", "ops")
	deletion :=
		`DELETE p {"gracePeriodSeconds":0,"preconditions":{"uid":"u1","resourceVersion":"8"}}`
	failing := `PATCH p {"metadata":{"uid":"u1",` + annotationsOfDisk +
		`},"status":{"phase":"Failed",` + reasonOfDisk + `"conditions":[{"type":"DisruptionTarget",` +
		`"observedGeneration":3,"status":"True","lastProbeTime":null,"lastTransitionTime":"2026-05-01T12:00:30Z","reason":"DeletionByPodGC",` +
		`"message":"This pod had to be terminated because the underlying hardware failed (sda)"}]}}`
	failed := strings.Replace(failing, annotationsOfDisk, markedDisk, 1)
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "pods"},
		"p", errors.New("precondition failed"))
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "p")
	tests := map[string]struct {
		pod     *corev1.Pod
		answers []error
		want    []string
		wantErr error
	}{
		"a running pod is failed first": {pod: aPod(), want: []string{failed, deletion}},
		"a pod with grace left, too": {pod: aPod(terminating(30)),
			want: []string{failing, deletion}},
		"what a kubelet said of a pod that runs stays": {pod: aPod(said("Evicting")),
			want: []string{strings.Replace(failed, reasonOfDisk, "", 1), deletion}},
		"a pod that finished keeps its own end": {pod: aPod(inPhase(corev1.PodSucceeded)),
			want: []string{`PATCH p {"metadata":{"uid":"u1",` + markedDisk + `}}`, deletion}},
		"a pod that failed keeps its own end": {pod: aPod(inPhase(corev1.PodFailed)),
			want: []string{`PATCH p {"metadata":{"uid":"u1",` + markedDisk + `}}`, deletion}},
		"somebody writes in between: once more": {pod: aPod(), answers: []error{nil, conflict},
			want: []string{failed, deletion, failed, deletion}},
		"somebody writes always: given up": {pod: aPod(),
			answers: []error{nil, conflict, nil, conflict, nil, conflict, nil, conflict},
			want: []string{failed, deletion, failed, deletion, failed, deletion, failed,
				deletion}, wantErr: conflict},
		"gone before it is failed": {pod: aPod(), answers: []error{missing},
			want: []string{failed}, wantErr: ErrGone},
		"gone before it is deleted": {pod: aPod(), answers: []error{nil, missing},
			want: []string{failed, deletion}, wantErr: ErrGone},
		"refused: the caller learns it, once only": {pod: aPod(), answers: []error{errRefused},
			want: []string{failed}, wantErr: errRefused},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term, w := terminator(tt.answers...)
			if err := term.TerminatePod(t.Context(), tt.pod, disk); !errors.Is(err, tt.wantErr) {
				t.Errorf("TerminatePod = %v, want %v", err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, w.sent); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

var errRefused = errors.New("refused")

// DisruptionTarget is documented as retriable: a Job would run a pod again that was removed on
// purpose.
func TestOnlyDisruptionsAreMarkedRetriable(t *testing.T) {
	t.Parallel()
	tests := map[reason.Code]bool{
		reason.NodeDeleted: true, reason.KernelPanic: true, reason.OutOfService: true,
		reason.NeverScheduled: false, reason.UserRequest: false, reason.AlreadyEnded: false,
		reason.Unexplained: false, "killed": false,
	}
	for code, want := range tests {
		term, _ := terminator()
		p := term.failure(aPod(), reason.New(reason.Pod, code, "x", "me"))
		if got := len(p.Status.Conditions) == 1; got != want || p.Status.Phase != corev1.PodFailed {
			t.Errorf("%s: phase %s, marked %t, want Failed, %t", code, p.Status.Phase, got, want)
		}
	}
}

func TestAnnotate(t *testing.T) {
	t.Parallel()
	term, w := terminator()
	version, err := term.Annotate(t.Context(), aPod(),
		reason.New(reason.Pod, reason.HardwareFailure, "sda", "ops"))
	if err != nil || version != "8" {
		t.Errorf("Annotate = %q, %v, want the new resource version", version, err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u2",
		Annotations: map[string]string{"example.com/a": "b"}}}
	if _, err := term.Annotate(t.Context(), node,
		reason.New(reason.Node, reason.NodeHalted, "bob ran sudo halt", "bob")); err != nil {
		t.Errorf("Annotate = %v", err)
	}
	const key = "/metadata/annotations/node.titus.netflix.com~1node-termination-"
	want := []string{
		`PATCH p [{"op":"test","path":"/metadata/uid","value":"u1"},{"op":"test","path":"/metadata/deletionTimestamp","value":null},` +
			`{"op":"test","path":"/metadata/annotations","value":null},` +
			`{"op":"add","path":"/metadata/annotations","value":{"epitaph-k8s.io/reason-written":"2026-05-01T12:00:00Z ` +
			digest("This pod had to be terminated because the underlying hardware failed (sda)") +
			`",` + strings.TrimPrefix(annotationsOfDisk, `"annotations":{`) + `}]`,
		`PATCH n1 [{"op":"test","path":"/metadata/uid","value":"u2"},{"op":"test","path":"/metadata/deletionTimestamp","value":null},` +
			`{"op":"test","path":"` + key +
			`reason","value":null},` +
			`{"op":"add","path":"/metadata/annotations/epitaph-k8s.io~1reason-written","value":"2026-05-01T12:00:00Z ` + digest("This node went away because bob ran sudo halt on it") + `"},` +
			`{"op":"add","path":"` + key + `by-caller","value":"bob"},` +
			`{"op":"add","path":"` + key +
			`reason","value":"This node went away because bob ran sudo halt on it"},` +
			`{"op":"add","path":"` + key + `reason-code","value":"NodeHalted"}]`,
	}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAnnotateIsBoundToTheReasonThatItKnew(t *testing.T) {
	t.Parallel()
	blank := aPod(func(p *corev1.Pod) {
		p.Annotations = map[string]string{"pod.titus.netflix.com/pod-termination-reason": " "}
	})
	term, w := terminator(answered(t, statusTestFailed))
	if _, err := term.Annotate(t.Context(), blank,
		reason.New(reason.Pod, reason.HardwareFailure, "sda", "ops")); !errors.Is(err, ErrChanged) {
		t.Errorf("Annotate = %v, want ErrChanged", err)
	}
	const bound = `{"op":"test","path":"/metadata/annotations/pod.titus.netflix.com~1pod-termination-reason","value":" "}`
	if len(w.sent) != 1 || !strings.Contains(w.sent[0], bound) {
		t.Errorf("sent %q, want it bound by %s", w.sent, bound)
	}
	term, _ = terminator(answered(t, statusTooLong))
	if _, err := term.Annotate(t.Context(), aPod(), reason.Reason{Text: "x"}); err == nil ||
		errors.Is(err, ErrChanged) {
		t.Errorf("Annotate = %v, want an error that is not ErrChanged", err)
	}
}

func TestAnnotateUnchangedNamesTheVersion(t *testing.T) {
	t.Parallel()
	term, w := terminator(apierrors.NewConflict(schema.GroupResource{Resource: "pods"},
		"p", errors.New("changed")))
	err := term.AnnotateUnchanged(t.Context(), aPod(),
		reason.New(reason.Pod, reason.HardwareFailure, "sda", "ops"))
	if !errors.Is(err, ErrChanged) {
		t.Errorf("AnnotateUnchanged = %v, want ErrChanged", err)
	}
	if diff := cmp.Diff([]string{`PATCH p {"metadata":{` + annotationsOfDisk +
		`,"resourceVersion":"7","uid":"u1"}}`}, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWritesNeedAUID(t *testing.T) {
	t.Parallel()
	nameless := aPod(func(p *corev1.Pod) { p.UID = "" })
	term, w := terminator()
	const want = "cannot write to pod batch/p without its UID"
	if err := term.Delete(t.Context(), nameless); err == nil || err.Error() != want {
		t.Errorf("Delete = %v, want %s", err, want)
	}
	if _, err := term.Annotate(t.Context(), nameless, reason.Reason{Text: "x"}); err == nil ||
		err.Error() != want {
		t.Errorf("Annotate = %v, want %s", err, want)
	}
	const kind = "cannot terminate a *v1.Secret: only pods and nodes"
	if err := term.Delete(t.Context(), &corev1.Secret{}); err == nil || err.Error() != kind {
		t.Errorf("Delete of a Secret = %v, want %s", err, kind)
	}
	if len(w.sent) > 0 {
		t.Errorf("sent %q", w.sent)
	}
}

// Answers as kube-apiserver v1.37 gives them; test/e2e asks the real one.
const (
	statusOtherUID = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Pod \"p\" is invalid: metadata.uid: Invalid value: \"u1\": field is immutable",` +
		`"reason":"Invalid","details":{"name":"p","kind":"Pod","causes":[{"reason":"FieldValueInvalid","message":"Invalid value: \"u1\": field is immutable","field":"metadata.uid"}]},"code":422}`
	statusTestFailed = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server rejected our request due to an error in our request",` +
		`"reason":"Invalid","details":{},"code":422}`
	statusTooLong = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Pod \"p\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes",` +
		`"reason":"Invalid","details":{"name":"p","kind":"Pod","causes":[{"reason":"FieldValueTooLong","message":"Too long: may not be more than 262144 bytes","field":"metadata.annotations"}]},"code":422}`
	statusMissing  = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"p\" not found","reason":"NotFound","details":{"name":"p","kind":"pods"},"code":404}`
	statusConflict = `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Operation cannot be fulfilled on pods \"p\": StorageError: invalid object, Code: 4, Key: /registry/pods/batch/p, ResourceVersion: 0, ` +
		`AdditionalErrorMsg: Precondition failed: UID in precondition: u1, UID in object meta: u9","reason":"Conflict","details":{"name":"p","kind":"pods"},"code":409}`
)

func answered(t *testing.T, answer string) error {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal([]byte(answer), &s); err != nil {
		t.Fatal(err)
	}
	return apierrors.FromObject(&s)
}

func TestErrorsOfTheAPIServer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer               string
		patchGone, deletGone bool
		changed              bool
	}{
		"another UID, told to a patch": {answer: statusOtherUID, patchGone: true},
		"too many annotations":         {answer: statusTooLong},
		"missing":                      {answer: statusMissing, patchGone: true, deletGone: true},
		"a precondition failed":        {answer: statusConflict, deletGone: true, changed: true},
	}
	for name, tt := range tests {
		err := answered(t, tt.answer)
		if got := errors.Is(asGone(err), ErrGone); got != tt.patchGone {
			t.Errorf("%s: a patch takes it for gone: %t, want %t", name, got, tt.patchGone)
		}
		if got := errors.Is(asDeleted(err), ErrGone); got != tt.deletGone {
			t.Errorf("%s: a delete takes it for gone: %t, want %t", name, got, tt.deletGone)
		}
		if got := errors.Is(asChanged(asGone(err)), ErrChanged); got != tt.changed {
			t.Errorf("%s: taken for changed: %t, want %t", name, got, tt.changed)
		}
		if !errors.Is(asChanged(asGone(err)), err) || !errors.Is(asDeleted(err), err) {
			t.Errorf("%s: the cause is lost", name)
		}
	}
}

func TestLeftover(t *testing.T) {
	t.Parallel()
	k := reason.DefaultKeys().Pod
	with := func(text, mark string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Annotations = map[string]string{k.Reason: text, reason.WrittenKey: mark}
		}
	}
	const when = "2026-05-01T12:00:00Z "
	tests := map[string]struct {
		pod  *corev1.Pod
		want bool
	}{
		"what we wrote is there":        {aPod(with("x", when+digest("x"))), true},
		"the words are somebody else's": {aPod(with("y", when+digest("x"))), false},
		"we completed somebody's words": {aPod(with("y", when+completed)), true},
		"it is really going": {aPod(with("x", when+digest("x")), terminating(30)),
			false},
		"no mark":                         {aPod(with("x", "")), false},
		"a mark that is none":             {aPod(with("x", "yesterday "+digest("x"))), false},
		"nothing at all":                  {aPod(), false},
		"a mark, and the reason is blank": {aPod(with("", when+digest("x"))), false},
	}
	for name, tt := range tests {
		term, _ := terminator()
		since, ok := term.Leftover(tt.pod)
		if ok != tt.want || ok && !since.Equal(noon.Truncate(time.Minute)) {
			t.Errorf("%s: leftover %t since %s, want %t", name, ok, since, tt.want)
		}
	}
}

func TestClear(t *testing.T) {
	t.Parallel()
	k := reason.DefaultKeys().Pod
	term, w := terminator()
	for _, mark := range []string{digest("x"), completed} {
		pod := aPod(func(p *corev1.Pod) {
			p.Annotations = map[string]string{k.Reason: "x",
				reason.WrittenKey: "2026-05-01T12:00:00Z " + mark}
		})
		if err := term.Clear(t.Context(), pod); err != nil {
			t.Errorf("Clear = %v", err)
		}
	}
	const by, written = `"pod.titus.netflix.com/pod-termination-by-caller":null`,
		`"epitaph-k8s.io/reason-written":null`
	const code, text = `"pod.titus.netflix.com/pod-termination-reason-code":null`,
		`"pod.titus.netflix.com/pod-termination-reason":null`
	want := []string{
		`PATCH p {"metadata":{"annotations":{` + written + `,` + by + `,` + text + `,` + code +
			`},"resourceVersion":"7","uid":"u1"}}`,
		`PATCH p {"metadata":{"annotations":{` + written + `,` + by + `,` + code +
			`},"resourceVersion":"7","uid":"u1"}}`,
	}
	if diff := cmp.Diff(want, w.sent); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Repeated calls of one admission must write the same bytes, so that the second write costs no
// revision.
func TestMarkIsTheSameWithinAMinute(t *testing.T) {
	t.Parallel()
	if a, b := mark("x", "alice", noon), mark("x", "alice", noon.Add(29*time.Second)); a != b ||
		a != "2026-05-01T12:00:00Z x alice" {
		t.Errorf("marks %q and %q, want the same", a, b)
	}
}
