package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const program = "system:serviceaccount:ci:runner"

// withGrace is how long the pod has to end.
func withGrace(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

// The API server says how a DELETE ends: CheckGracefulDelete of
// k8s.io/kubernetes@v1.37.2/pkg/registry/core/pod/strategy.go. What vanishes has its reason before.
func TestWhatLingersIsAnsweredFirst(t *testing.T) {
	t.Parallel()
	terminating := func(p *corev1.Pod) {
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(now)), ptr.To(
			int64(30))
	}
	marked := func(p *corev1.Pod) {
		p.Annotations = map[string]string{reason.WrittenKey: now.Format(time.RFC3339) +
			" 0123456789abcdef alice"}
	}
	tests := map[string]struct {
		pod     *corev1.Pod
		options metav1.DeleteOptions
		dryRun  bool
		config  func(*config.Webhook)
		later   bool
		nothing bool
	}{
		"by the pod's own grace": {pod: aPod(withGrace(30)), later: true},
		"a longer grace is asked for": {pod: aPod(withGrace(0)), later: true,
			options: metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(5))}},
		"a negative grace is a second": {pod: aPod(withGrace(30)), later: true,
			options: metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(-1))}},
		"no grace is asked for": {pod: aPod(withGrace(30)),
			options: metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}},
		"the pod has none": {pod: aPod(withGrace(0))},
		"unbound": {pod: aPod(withGrace(30),
			func(p *corev1.Pod) { p.Spec.NodeName = "" })},
		"failed": {pod: aPod(withGrace(30),
			func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })},
		"succeeded": {pod: aPod(withGrace(30),
			func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })},
		"terminates already": {pod: aPod(withGrace(30), terminating),
			options: metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(5))}},
		"with words":               {pod: aPod(withGrace(30), withReason("rack is moved"))},
		"with a mark of somebody":  {pod: aPod(withGrace(30), marked)},
		"for trial":                {pod: aPod(withGrace(30)), dryRun: true, nothing: true},
		"failurePolicy is Fail":    {pod: aPod(withGrace(30)), config: failClosed},
		"a policy looks for it":    {pod: aPod(withGrace(30)), config: writeFirst},
		"a broken reason is there": {pod: aPod(withGrace(30), withReason("x\x1b")), later: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{node: aNode()}
			h := w.handler(t, tt.config).(*Handler)
			review := deleteOf(t, tt.pod, program)
			review.Request.DryRun = &tt.dryRun
			var err error
			if review.Request.Options.Raw, err = json.Marshal(tt.options); err != nil {
				t.Fatal(err)
			}
			if got := ask(t, h, review); !got.Allowed || got.Warnings != nil {
				t.Errorf("answered %+v", got)
			}
			_, promised := h.promises.of(tt.pod.UID)
			if promised != tt.later || (len(w.written) == 1) == (tt.later || tt.nothing) {
				t.Errorf("promised: %t, written %q; want it later: %t", promised, w.written,
					tt.later)
			}
		})
	}
}

func failClosed(c *config.Webhook) { c.FailurePolicy = config.FailClosed }
func writeFirst(c *config.Webhook) { c.WriteFirst = true }

// a pod that was deleted and terminates.
func aTerminating(change ...func(*corev1.Pod)) *corev1.Pod {
	pod := aPod(change...)
	pod.DeletionTimestamp = ptr.To(metav1.NewTime(now.Add(30 * time.Second)))
	pod.DeletionGracePeriodSeconds = ptr.To(int64(30))
	return pod
}

const nobodySaid = "trainer-0: Nobody said why this pod was deleted, and nothing could be inferred (deleted by " +
	program + ")"

// The kubelet may be quicker than we are: its DELETE is admitted, and writes first.
func TestFinalDeleteKeepsThePromise(t *testing.T) {
	t.Parallel()
	w := &world{node: aNode()}
	h := w.handler(t, func(c *config.Webhook) {
		c.Rules = append([]config.Rule{{Name: "kubelets", Users: []string{"system:node:*"},
			Action: config.Ignore}}, c.Rules...)
	}).(*Handler)
	ask(t, h, deleteOf(t, aPod(withGrace(30)), program))
	if w.written != nil {
		t.Fatalf("wrote %q before the pod terminates", w.written)
	}
	final := deleteOf(t, aTerminating(withGrace(30)), "system:node:n1", "system:nodes")
	final.Request.Options.Raw = []byte(`{"gracePeriodSeconds":0}`)
	if got := ask(t, h, final); !got.Allowed {
		t.Errorf("answered %+v", got)
	}
	if diff := cmp.Diff([]string{nobodySaid}, w.written); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}

// byUnknown has the reason that the collector inferred of a deletion that it knows nothing of.
func byUnknown(p *corev1.Pod) {
	p.Annotations = config.Default().Annotations.Pod.Annotations(
		reason.New(reason.Pod, reason.Evicted, "by somebody", reason.UnknownRemover))
}

// The collector may be quicker than both.
func TestFinalDeleteCorrectsWhatTheCollectorInferred(t *testing.T) {
	t.Parallel()
	w := &world{node: aNode()}
	h := w.handler(t, nil).(*Handler)
	final := deleteOf(t, aTerminating(withGrace(30), byUnknown), "system:node:n1", "system:nodes")
	if ask(t, h, final); w.written != nil {
		t.Errorf("wrote %q, although nobody knows better", w.written)
	}
	ask(t, h, deleteOf(t, aPod(withGrace(30)), program))
	ask(t, h, final)
	if diff := cmp.Diff([]string{nobodySaid}, w.written); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
}

// Whoever deletes faster than can be written waits for the writes; deletes that were refused do not
// count for long.
func TestFewReasonsAreOutstanding(t *testing.T) {
	t.Parallel()
	clk := testingclock.NewFakePassiveClock(now)
	w := &terminatingWorld{world: world{node: aNode()}}
	h, _ := w.promised(t, aPod(withGrace(30)), clk)
	for n := range maxOwed - 1 {
		if !h.promises.owe(types.UID(fmt.Sprint("other-", n))) {
			t.Fatalf("no more than %d are promised", n)
		}
	}
	another := deleteOf(t, aPod(withGrace(30)), program)
	if ask(t, h, another); w.written != nil {
		t.Errorf("wrote %q: a repeated delete of the same pod counts twice", w.written)
	}
	h.promises.forget("u-1")
	h.promises.owe("one-more")
	if ask(t, h, another); len(w.written) != 1 {
		t.Errorf("written %q, want one before the answer", w.written)
	}
	clk.SetTime(now.Add(termination.WriteBehind + time.Second))
	if ask(t, h, another); len(w.written) != 1 {
		t.Errorf("written %q, although what was promised long ago is not owed any more", w.written)
	}
	h.promises.forget("u-1")
	if n := len(h.promises.owed); n != 0 {
		t.Errorf("%d are owed in the end", n)
	}
}

// What was promised to a pod that lives on is not written for another deletion.
func TestLaterDeletionSupersedesThePromise(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]*admissionv1.AdmissionReview{
		"one that a rule ignores":    deleteOf(t, aPod(withGrace(30)), "ignored"),
		"one without grace":          deleteOf(t, aPod(withGrace(0)), program+"-2"),
		"one of a pod with a reason": deleteOf(t, aPod(withReason("x"), complete), "somebody"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{node: aNode()}
			h := w.handler(t, func(c *config.Webhook) {
				c.Rules = append([]config.Rule{{Name: "nobody", Users: []string{"ignored"},
					Action: config.Ignore}}, c.Rules...)
			}).(*Handler)
			ask(t, h, deleteOf(t, aPod(withGrace(30)), program))
			if _, promised := h.promises.of("u-1"); !promised {
				t.Fatal("nothing is promised")
			}
			ask(t, h, later)
			if p, promised := h.promises.of("u-1"); promised {
				t.Errorf("%+v is still promised", p)
			}
		})
	}
}

// terminatingWorld has one terminating pod, and notes what writes are bound to.
type terminatingWorld struct {
	world
	cached, live *corev1.Pod
	bound        []*corev1.Pod
	fail         []error
}

func (w *terminatingWorld) reader(pod **corev1.Pod) client.Reader { return podReader{w, pod} }

type podReader struct {
	*terminatingWorld
	pod **corev1.Pod
}

func (r podReader) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	opts ...client.GetOption) error {
	if pod, ok := o.(*corev1.Pod); ok && *r.pod != nil {
		(*r.pod).DeepCopyInto(pod)
		return nil
	}
	return r.world.Get(ctx, key, o, opts...)
}

func (w *terminatingWorld) AnnotateFor(ctx context.Context, obj client.Object, r reason.Reason,
	user string) (string, error) {
	w.bound = append(w.bound, obj.(*corev1.Pod))
	if len(w.fail) > 0 {
		err := w.fail[0]
		w.fail = w.fail[1:]
		if err != nil {
			return "", err
		}
	}
	return w.world.AnnotateFor(ctx, obj, r, user)
}

// promised returns a handler that has promised a reason to the pod as it was, and what writes it.
func (w *terminatingWorld) promised(t *testing.T, was *corev1.Pod,
	clk *testingclock.FakePassiveClock) (*Handler, *PromisedReasons) {
	t.Helper()
	c := config.Default()
	h, err := New(Options{
		Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(),
		Reader: w.reader(&w.cached), Live: w.reader(&w.live), Obituaries: w, Writer: w,
		Clock: clk, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, h, deleteOf(t, was, program))
	return h, h.PromisedReasons()
}

func TestPromisedReasonIsWrittenWithoutARead(t *testing.T) {
	t.Parallel()
	clk := testingclock.NewFakePassiveClock(now)
	w := &terminatingWorld{world: world{node: aNode()}}
	was := aPod(withGrace(30), func(p *corev1.Pod) {
		p.Annotations = map[string]string{"example.com/large": "x"}
	})
	h, k := w.promised(t, was, clk)
	if w.cached = was; k.Concerns(was) {
		t.Error("a pod that lives is written to")
	}
	w.cached = aTerminating(withGrace(30))
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(was)}
	if again, err := k.Reconcile(t.Context(), request); err != nil || again.RequeueAfter == 0 ||
		w.written != nil {
		t.Errorf("wrote %q at once (%v, %v), although deletions come", w.written, again, err)
	}
	clk.SetTime(now.Add(patience))
	if again, err := k.Reconcile(t.Context(), request); err != nil || again.RequeueAfter != 0 {
		t.Errorf("ended with %v, %v", again, err)
	}
	if diff := cmp.Diff([]string{nobodySaid}, w.written); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	bound := w.bound[0]
	if bound.UID != was.UID || ptr.Deref(bound.DeletionGracePeriodSeconds, 0) != 30 ||
		len(bound.Annotations) != 1 || bound.Annotations[h.inferrer.Keys.Pod.Reason] != "" {
		t.Errorf("the write is bound to %+v", bound.ObjectMeta)
	}
	if _, ok := h.promises.of(was.UID); ok {
		t.Error("the promise is still owed")
	}
}

// What somebody wrote since is looked at; what the collector inferred gives way, words stay.
func TestPromiseAndWhatWasWrittenSince(t *testing.T) {
	t.Parallel()
	by := func(who string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Annotations = config.Default().Annotations.Pod.Annotations(
				reason.New(reason.Pod, reason.Evicted, "by somebody", who))
		}
	}
	tests := map[string]struct {
		there *corev1.Pod
		want  []string
	}{
		"words get what they lack": {aTerminating(withReason("rack is moved")),
			[]string{"trainer-0: rack is moved (completed)"}},
		"words stay, and the asker is noted": {aTerminating(by("bob")),
			[]string{"trainer-0: asked for by " + program}},
		"what was inferred gives way": {aTerminating(byUnknown), []string{nobodySaid}},
		"what ended the pod stays": {aTerminating(by(reason.ByGC)),
			[]string{"trainer-0: asked for by " + program}},
		"annotated with something":     {aTerminating(withReason("")), []string{nobodySaid}},
		"another of the name is there": {aTerminating(func(p *corev1.Pod) { p.UID = "u-2" }), nil},
		"it lives, after all":          {aPod(), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := testingclock.NewFakePassiveClock(now)
			w := &terminatingWorld{world: world{node: aNode()},
				fail: []error{termination.ErrChanged}}
			h, k := w.promised(t, aPod(withGrace(30)), clk)
			w.cached, w.live = aTerminating(withGrace(30)), tt.there
			clk.SetTime(now.Add(patience))
			if _, err := k.Reconcile(t.Context(), reconcile.Request{
				NamespacedName: client.ObjectKeyFromObject(w.cached)}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, w.written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if _, ok := h.promises.of("u-1"); ok {
				t.Error("the promise is still owed")
			}
		})
	}
}

// A process that is told to end keeps what it has promised, and promises nothing more.
func TestPromisesAreKeptAtTheEnd(t *testing.T) {
	t.Parallel()
	clk := testingclock.NewFakePassiveClock(now)
	w := &terminatingWorld{world: world{node: aNode()}}
	h, k := w.promised(t, aPod(withGrace(30)), clk)
	w.live = aTerminating(withGrace(30))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := k.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{nobodySaid}, w.written); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}
	w.cached = aPod()
	ask(t, h, deleteOf(t, aPod(withGrace(30)), program))
	if len(w.written) != 2 {
		t.Errorf("written %q, want the second one before the answer", w.written)
	}
}

// The API server may ask about a copy from before the first deletion, which it cannot delete: what
// is promised for the first one stays, whoever else deletes or evicts the pod meanwhile.
func TestPromiseOutlivesLaterRequests(t *testing.T) {
	t.Parallel()
	const other = program + "-2"
	options := func(review *admissionv1.AdmissionReview, raw string) *admissionv1.AdmissionReview {
		review.Request.Options.Raw = []byte(raw)
		return review
	}
	eviction := func(raw string) *admissionv1.AdmissionReview {
		review := deleteOf(t, aPod(), other)
		review.Request.Operation, review.Request.SubResource = admissionv1.Create, "eviction"
		review.Request.OldObject.Raw, review.Request.Object.Raw = nil, []byte(raw)
		review.Request.Name = "trainer-0"
		return review
	}
	written, waits := []string{nobodySaid}, []string(nil)
	tests := map[string]struct {
		later *admissionv1.AdmissionReview
		live  *corev1.Pod
		want  []string
	}{
		"a forced delete of an old copy": {
			options(deleteOf(t, aPod(withGrace(30)), other), `{"gracePeriodSeconds":0}`),
			aTerminating(withGrace(30)), written},
		"a delete of an old copy": {deleteOf(t, aPod(withGrace(30)), other),
			aTerminating(withGrace(30)), written},
		"an eviction": {eviction(`{}`), aTerminating(withGrace(30)), waits},
		"a forced eviction": {eviction(`{"deleteOptions":{"gracePeriodSeconds":0}}`),
			aTerminating(withGrace(30)), written},
		"a delete of a copy with words that came before": {
			deleteOf(t, aTerminating(withReason("rack is moved")), other), nil,
			[]string{"trainer-0: rack is moved (completed)"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clk := testingclock.NewFakePassiveClock(now)
			w := &terminatingWorld{world: world{node: aNode()}}
			h, _ := w.promised(t, aPod(withGrace(30)), clk)
			w.live = tt.live
			if got := ask(t, h, tt.later); !got.Allowed || got.Warnings != nil {
				t.Errorf("answered %+v", got)
			}
			if diff := cmp.Diff(tt.want, w.written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			if p, ok := h.promises.of("u-1"); ok != (tt.want == nil) || ok && p.user != program {
				t.Errorf("promised: %+v, %t", p, ok)
			}
		})
	}
}

// A write that fails since the pod terminates by now is no other deletion's: the promise is kept.
func TestStaleWriteDoesNotSupersede(t *testing.T) {
	t.Parallel()
	w := &terminatingWorld{world: world{node: aNode()}, fail: []error{termination.ErrChanged}}
	h, _ := w.promised(t, aPod(withGrace(30)), testingclock.NewFakePassiveClock(now))
	forced := deleteOf(t, aPod(withGrace(30)), program+"-2")
	forced.Request.Options.Raw = []byte(`{"gracePeriodSeconds":0}`)
	ask(t, h, forced)
	if p, ok := h.promises.of("u-1"); !ok || p.user != program {
		t.Errorf("promised: %+v, %t", p, ok)
	}
}

// Of a deletion that has begun this moment and that this replica was not asked about, another one
// knows: an eviction of the pod says nothing about it.
func TestOthersPromiseIsLeftAlone(t *testing.T) {
	t.Parallel()
	for age, want := range map[time.Duration]bool{0: false, othersWrite + time.Second: true} {
		w := &terminatingWorld{world: world{node: aNode()}}
		clk := testingclock.NewFakePassiveClock(now)
		h, _ := w.promised(t, aPod(withGrace(30)), clk)
		h.promises.forget("u-1")
		clk.SetTime(now.Add(age))
		w.live = aTerminating(withGrace(30))
		review := deleteOf(t, aPod(), program+"-2")
		review.Request.Operation, review.Request.SubResource = admissionv1.Create, "eviction"
		review.Request.OldObject.Raw, review.Request.Object.Raw = nil, []byte(`{}`)
		review.Request.Name = "trainer-0"
		ask(t, h, review)
		if _, promised := h.promises.of("u-1"); promised != want || w.written != nil {
			t.Errorf("%v after the deletion: promised %t, written %q", age, promised, w.written)
		}
	}
}
