package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A world is what the handler sees and what it does to it, in memory.
type world struct {
	node     *corev1.Node
	pods     []corev1.Pod
	readErr  error
	died     reason.Reason
	writeErr error
	crash    bool
	// empty is set where no pod is there.
	empty bool
	// heeds refuses writes whose context has ended, as a client does.
	heeds bool

	written  []string
	recorded []string
}

func (w *world) Get(_ context.Context, key client.ObjectKey, obj client.Object,
	_ ...client.GetOption) error {
	if pod, ok := obj.(*corev1.Pod); ok && !w.empty {
		pod.UID = aPod().UID
		return nil
	}
	if w.readErr != nil {
		return w.readErr
	}
	node, ok := obj.(*corev1.Node)
	if !ok || w.node == nil || w.node.Name != key.Name {
		return apierrors.NewNotFound(corev1.Resource("nodes"), key.Name)
	}
	w.node.DeepCopyInto(node)
	return nil
}

func (w *world) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*corev1.PodList).Items = w.pods
	return w.readErr
}

func (w *world) RecordDeletion(_ context.Context, node *corev1.Node, r reason.Reason,
	_ string) error {
	w.recorded = append(w.recorded, node.Name+": "+string(r.Code))
	return w.writeErr
}

func (w *world) Find(context.Context, string, time.Time) (reason.Reason, bool, error) {
	return w.died, !w.died.IsZero(), nil
}

func (w *world) Complete(ctx context.Context, obj client.Object, r reason.Reason,
	user string) (string, error) {
	r.Text += " (completed)"
	return w.AnnotateFor(ctx, obj, r, user)
}

func (w *world) Mark(ctx context.Context, obj client.Object, user string) (string, error) {
	return w.AnnotateFor(ctx, obj, reason.Reason{Text: reason.Text("asked for by " + user)}, user)
}

func (*world) WrittenFor(client.Object) (string, bool) { return "", false }

func (w *world) AnnotateFor(ctx context.Context, obj client.Object, r reason.Reason,
	_ string) (string, error) {
	if w.crash {
		panic("out of order")
	}
	if w.heeds && ctx.Err() != nil {
		return "", ctx.Err()
	}
	if w.writeErr != nil {
		return "", w.writeErr
	}
	w.written = append(w.written, obj.GetName()+": "+string(r.Text))
	return "2", nil
}

func (w *world) handler(t *testing.T, change func(*config.Webhook)) http.Handler {
	t.Helper()
	c := config.Default()
	if change != nil {
		change(&c.Webhook)
	}
	h, err := New(Options{
		Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(), Reader: w, Live: w,
		Obituaries: w, Writer: w,
		Clock: testingclock.NewFakePassiveClock(now), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func aPod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "trainer-0", Namespace: "batch", UID: "u-1"},
		Spec:       corev1.PodSpec{NodeName: "n1"},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func withReason(text string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Annotations = map[string]string{"pod.titus.netflix.com/pod-termination-reason": text}
	}
}

func complete(p *corev1.Pod) {
	p.Annotations["pod.titus.netflix.com/pod-termination-reason-code"] = "UserRequest"
	p.Annotations["pod.titus.netflix.com/pod-termination-by-caller"] = "bob"
}

func aNode() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u-n1"}}
}

func deleteOf(t *testing.T, obj client.Object, user string,
	groups ...string) *admissionv1.AdmissionReview {
	t.Helper()
	raw, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	resource := "pods"
	if _, ok := obj.(*corev1.Node); ok {
		resource = "nodes"
	}
	req := &admissionv1.AdmissionRequest{
		UID: "r-1", Operation: admissionv1.Delete, Namespace: obj.GetNamespace(),
		Resource:  metav1.GroupVersionResource{Version: "v1", Resource: resource},
		OldObject: runtime.RawExtension{Raw: raw},
	}
	req.UserInfo.Username, req.UserInfo.Groups = user, groups
	return &admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1",
		Kind: "AdmissionReview"}, Request: req}
}

func post(t *testing.T, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func ask(t *testing.T, h http.Handler,
	review *admissionv1.AdmissionReview) *admissionv1.AdmissionResponse {
	t.Helper()
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	w := post(t, h, string(body))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	answer := &admissionv1.AdmissionReview{}
	if err := json.Unmarshal(w.Body.Bytes(), answer); err != nil {
		t.Fatal(err)
	}
	if answer.Response.UID != "r-1" {
		t.Errorf("the answer is for request %q, want r-1", answer.Response.UID)
	}
	return answer.Response
}

func TestDenialSaysWhatWorks(t *testing.T) {
	t.Parallel()
	w := &world{node: aNode()}
	got := ask(t, w.handler(t, nil), deleteOf(t, aPod(), "alice"))
	want :=
		`pod trainer-0 must not leave without a reason (rule "people-say-why"): the reason is empty. Say why, then delete it:
  kubectl annotate pod trainer-0 -n batch --overwrite pod.titus.netflix.com/pod-termination-reason='WHY IT HAS TO GO'
  kubectl delete pod trainer-0 -n batch`
	if got.Allowed || got.Result.Code != 403 || got.Result.Message != want {
		t.Errorf("allowed %v with\n%s\nwant denied with\n%s", got.Allowed, got.Result.Message, want)
	}
	if diff := cmp.Diff(map[string]string{"rule": "people-say-why"},
		got.AuditAnnotations); diff != "" {
		t.Errorf("audit annotations (-want +got):\n%s", diff)
	}
	if w.written != nil {
		t.Errorf("a denied delete wrote %q", w.written)
	}
}

// Denials are logged whatever the level, but nobody fills the log with them.
func TestDenialsAreLogged(t *testing.T) {
	t.Parallel()
	var lines []string
	h := (&world{node: aNode()}).handler(t, nil).(*Handler)
	h.log = funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	review := deleteOf(t, aPod(), "alice\x1b[31m")
	review.Request.Name = "trainer-0"
	for range denialsAtOnce * 2 {
		ask(t, h, review)
	}
	if len(lines) < denialsAtOnce || len(lines) >= denialsAtOnce*2 {
		t.Fatalf("%d lines were logged of %d denials", len(lines), denialsAtOnce*2)
	}
	const want = `"level"=0 "msg"="deletion denied" "name"="trainer-0" "user"="alice\\x1b[31m" "resource"="pods" "namespace"="batch" "rule"="people-say-why" "action"="denied"`
	if lines[0] != want {
		t.Errorf("logged %s\nwant   %s", lines[0], want)
	}
}

func TestHandlerDecides(t *testing.T) {
	t.Parallel()
	panicked := reason.New(reason.Node, reason.KernelPanic,
		"sysrq triggered crash", "epitaph/netconsole")
	tests := map[string]struct {
		world       world
		object      client.Object
		user        string
		dryRun      bool
		config      func(*config.Webhook)
		wantAllowed bool
		wantWritten []string
		wantRecord  []string
		wantWarning string
		wantDenial  string
	}{
		"a program's delete is filled in": {
			world: world{node: aNode()}, object: aPod(), user: "system:serviceaccount:ci:runner",
			wantAllowed: true,
			wantWritten: []string{
				"trainer-0: Nobody said why this pod was deleted, and nothing could be inferred (deleted by system:serviceaccount:ci:runner)"},
		},
		"the node is gone, its obituary speaks": {
			world: world{died: panicked}, object: aPod(),
			user: "system:serviceaccount:kube-system:pod-garbage-collector", wantAllowed: true,
			wantWritten: []string{
				"trainer-0: This pod died unexpectedly because the underlying node kernel panicked! (sysrq triggered crash)"},
		},
		"a dry run is decided and written nowhere": {
			world: world{node: aNode()}, object: aPod(), user: "system:serviceaccount:ci:runner",
			dryRun: true, wantAllowed: true,
		},
		"a dry run is denied too": {
			world: world{node: aNode()}, object: aPod(), user: "alice", dryRun: true,
			wantDenial: "the reason is empty",
		},
		"blanks are no reason": {
			world: world{node: aNode()}, object: aPod(withReason(" \t\n")), user: "alice",
			wantDenial: "the reason is empty",
		},
		"a reason that a terminal would obey is refused": {
			world: world{node: aNode()}, object: aPod(withReason("x\x1b[2J")), user: "alice",
			wantDenial: "the reason contains the control character U+001B at byte 1",
		},
		"a reason that is too long is refused": {
			world: world{node: aNode()}, object: aPod(withReason(strings.Repeat("x", 1025))),
			user: "alice", wantDenial: "the reason has 1025 bytes, at most 1024 are allowed",
		},
		"a program's broken reason is mended": {
			world: world{node: aNode()}, object: aPod(withReason("x\x1b[2J")),
			user: "system:serviceaccount:ci:runner", wantAllowed: true,
			wantWritten: []string{`trainer-0: x\x1b[2J`},
		},
		"a reason stays, and is completed": {
			world: world{node: aNode()}, object: aPod(withReason("rack is moved")), user: "alice",
			wantAllowed: true,
			wantWritten: []string{"trainer-0: rack is moved (completed)"},
		},
		"a reason that is complete stays": {
			world: world{node: aNode()}, object: aPod(withReason("rack is moved"), complete),
			user: "alice", wantAllowed: true,
			wantWritten: []string{"trainer-0: asked for by alice"},
		},
		"audit only: allowed, written, warned": {
			world: world{node: aNode()}, object: aPod(), user: "alice", wantAllowed: true,
			config: func(c *config.Webhook) { c.Mode = config.AuditMode },
			wantWritten: []string{
				"trainer-0: Nobody said why this pod was deleted, and nothing could be inferred (deleted by alice)"},
			wantWarning: "epitaph (audit only): pod trainer-0 must not leave without a reason",
		},
		"a rule ignores": {
			world: world{node: aNode()}, object: aPod(), user: "alice", wantAllowed: true,
			config: func(c *config.Webhook) {
				c.Rules = []config.Rule{{Name: "off", Action: config.Ignore}}
			},
		},
		"a node is recorded before it may go": {
			object: aNode(), user: "system:serviceaccount:kube-system:node-controller",
			wantAllowed: true,
			wantRecord:  []string{"n1: CloudInstanceGone"},
			wantWritten: []string{"n1: The cloud instance of node n1 is gone"},
		},
		"a node whose reason somebody wrote is recorded": {
			object: &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u",
				Annotations: map[string]string{
					"node.titus.netflix.com/node-termination-reason": "rack is moved"}}},
			user: "alice", wantAllowed: true, wantRecord: []string{"n1: UserRequest"},
			wantWritten: []string{"n1: rack is moved (completed)"},
		},
		"a person's delete of a node": {object: aNode(),
			user: "alice", wantDenial: "node n1 must not leave without a reason"},
		"gone meanwhile": {
			world: world{node: aNode(), writeErr: termination.ErrGone}, object: aPod(),
			user: "system:serviceaccount:ci:runner", wantAllowed: true,
		},
		"vanishing meanwhile": {
			world: world{node: aNode(), writeErr: termination.ErrVanishing}, object: aPod(),
			user: "system:serviceaccount:ci:runner", wantAllowed: true,
		},
		"a write fails: allowed, warned": {
			world: world{node: aNode(), writeErr: errors.New("etcd is away")}, object: aPod(),
			user: "system:serviceaccount:ci:runner", wantAllowed: true,
			wantWarning: "epitaph: the reason could not be written: etcd is away",
		},
		"a look-up fails: never taken for no reason": {
			world: world{readErr: errors.New("no cache")}, object: aPod(), user: "alice",
			wantAllowed: true,
			wantWarning: "epitaph: the reason could not be written: find out why pod trainer-0 goes: read node n1: no cache",
		},
		"a panic of ours: allowed, warned": {
			world: world{node: aNode(), crash: true}, object: aPod(),
			user: "system:serviceaccount:ci:runner", wantAllowed: true,
			wantWarning: "epitaph: the reason could not be written: decide about a deletion: panic: out of order",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := tc.world
			if node, ok := tc.object.(*corev1.Node); ok {
				w.node = node
			}
			review := deleteOf(t, tc.object, tc.user)
			review.Request.DryRun = &tc.dryRun
			got := ask(t, w.handler(t, tc.config), review)
			if got.Allowed != tc.wantAllowed {
				t.Errorf("allowed %v, want %v: %v", got.Allowed, tc.wantAllowed, got.Result)
			}
			if tc.wantDenial != "" && !strings.Contains(got.Result.Message, tc.wantDenial) {
				t.Errorf("denied with %q, want %q", got.Result.Message, tc.wantDenial)
			}
			if warnings := strings.Join(got.Warnings, "\n"); !strings.HasPrefix(warnings,
				tc.wantWarning) || tc.wantWarning == "" && warnings != "" {
				t.Errorf("warned %q, want %q", warnings, tc.wantWarning)
			}
			if diff := cmp.Diff(tc.wantWritten, w.written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantRecord, w.recorded); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaultFailsTheCallWherePolicySaysFail(t *testing.T) {
	t.Parallel()
	failClosed := func(c *config.Webhook) { c.FailurePolicy = config.FailClosed }
	tests := map[string]world{
		"write":   {node: aNode(), writeErr: errors.New("etcd is away")},
		"look-up": {readErr: errors.New("etcd is away")},
		"panic":   {node: aNode(), crash: true},
	}
	for name, w := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := json.Marshal(deleteOf(t, aPod(), "system:serviceaccount:ci:runner"))
			if err != nil {
				t.Fatal(err)
			}
			if got := post(t, w.handler(t, failClosed),
				string(body)); got.Code != http.StatusInternalServerError {
				t.Errorf("status %d, want 500 so that the API server's failure policy decides: %s",
					got.Code, got.Body)
			}
		})
	}
}

// controller-runtime ends the contexts of requests when the process is told to stop; the API server
// waits for the answer.
func TestAnswersWhileShuttingDown(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal(deleteOf(t, aPod(), "system:serviceaccount:batch:runner"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, Path,
		strings.NewReader(string(body)))
	request.Header.Set("Content-Type", "application/json")
	w, answer := &world{node: aNode(), heeds: true}, httptest.NewRecorder()
	w.handler(t, func(c *config.Webhook) { c.FailurePolicy = config.FailClosed }).ServeHTTP(answer,
		request)
	if answer.Code != http.StatusOK || len(w.written) != 1 {
		t.Errorf("status %d, written %q; want the reason written and the delete allowed: %s",
			answer.Code, w.written, answer.Body)
	}
}

func TestMalformedReviewsAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want int
	}{
		"empty":        {"", 400},
		"not JSON":     {"pods", 400},
		"another kind": {`{"kind":"Pod","apiVersion":"v1"}`, 400},
		"an older version": {
			`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"1"}}`, 400},
		"no request": {`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`,
			400},
		"no UID": {
			`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}`, 400},
		"larger than it can be": {strings.Repeat(" ", 3<<20+1), 413},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := post(t, (&world{}).handler(t, nil), tc.body); got.Code != tc.want {
				t.Errorf("status %d, want %d: %s", got.Code, tc.want, got.Body)
			}
		})
	}
}

func TestReviewsOfOtherThingsAreFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*admissionv1.AdmissionRequest){
		"an update": func(r *admissionv1.AdmissionRequest) {
			r.Operation = admissionv1.Update
		},
		"a subresource": func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" },
		"another kind":  func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "secrets" },
		"another group": func(r *admissionv1.AdmissionRequest) {
			r.Resource.Group = "metrics.k8s.io"
		},
		"no object": func(r *admissionv1.AdmissionRequest) { r.OldObject.Raw = nil },
		"a wrong object": func(r *admissionv1.AdmissionRequest) {
			r.OldObject.Raw = []byte(`{"metadata":[]}`)
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{node: aNode()}
			review := deleteOf(t, aPod(), "alice")
			change(review.Request)
			got := ask(t, w.handler(t, nil), review)
			if !got.Allowed || len(got.Warnings) != 1 || w.written != nil {
				t.Errorf(
					"allowed %v, warned %q, wrote %q; want allowed with one warning, nothing written", got.Allowed, got.Warnings, w.written)
			}
		})
	}
}

func FuzzReview(f *testing.F) {
	f.Add(
		[]byte(
			`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"DELETE","resource":{"version":"v1","resource":"pods"},"oldObject":{"metadata":{"name":"a"}}}}`))
	f.Add(
		[]byte(
			`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"DELETE","resource":{"version":"v1","resource":"nodes"},"oldObject":{"metadata":{"name":"a"}},"userInfo":{"username":"system:node:x"}}}`))
	// A decoder without a bound ends the process. With less of a stack than the gigabyte that there
	// is, small inputs find that.
	debug.SetMaxStack(16 << 20)
	for _, bomb := range bombs(256 << 10) {
		f.Add(bomb)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w := &world{node: aNode()}
		c := config.Default()
		h, err := New(Options{
			Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(), Reader: w,
			Live: w, Obituaries: w, Writer: w,
			Clock: testingclock.NewFakePassiveClock(now), Registerer: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := post(t, h, string(body)); got.Code == http.StatusInternalServerError {
			t.Errorf("status 500 where faults are allowed: %s", got.Body)
		}
	})
}

// What the API server does not have, or has under another UID, has no reason and no record written
// for it.
func TestWhatIsNotThereIsNotBelieved(t *testing.T) {
	t.Parallel()
	stranger := aNode()
	stranger.UID = "forged"
	unknown := aNode()
	unknown.Name = "no-such-node"
	tests := map[string]struct {
		world *world
		obj   client.Object
	}{
		"a pod that is not there":  {&world{empty: true}, aPod()},
		"a pod of another UID":     {&world{}, aPod(func(p *corev1.Pod) { p.UID = "forged" })},
		"a pod without a UID":      {&world{}, aPod(func(p *corev1.Pod) { p.UID = "" })},
		"a node that is not there": {&world{node: aNode()}, unknown},
		"a node of another UID":    {&world{node: aNode()}, stranger},
	}
	for name, tt := range tests {
		got := ask(t, tt.world.handler(t, nil),
			deleteOf(t, tt.obj, "system:serviceaccount:ci:runner"))
		if !got.Allowed || tt.world.written != nil || tt.world.recorded != nil {
			t.Errorf("%s: allowed %t, wrote %q, recorded %q", name, got.Allowed, tt.world.written,
				tt.world.recorded)
		}
	}
}
