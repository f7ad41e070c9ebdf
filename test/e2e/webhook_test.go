package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/registration"
	"github.com/epitaph-k8s/epitaph/webhook"
)

const runner = "system:serviceaccount:ci:runner"

var unexplained = reason.Reason{
	Code: reason.Unexplained, By: runner,
	Text: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by " +
		runner + ")",
}

// alive reads a pod that must still be there and not be on its way out.
func (c *cluster) alive(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	p, err := c.client.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("pod %s is not there: %v", name, err)
	}
	if p.DeletionTimestamp != nil {
		t.Fatalf("pod %s is being deleted", name)
	}
	return p
}

func TestPersonMustSayWhy(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice").CoreV1()
	shared.pod(t, ns, node, "a")

	err := alice.Pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{})
	want :=
		`admission webhook "pods.epitaph-k8s.io" denied the request: pod a must not leave without a reason (rule "people-say-why"): the reason is empty. Say why, then delete it:
  kubectl annotate pod a -n ` + ns + ` --overwrite pod.titus.netflix.com/pod-termination-reason='WHY IT HAS TO GO'
  kubectl delete pod a -n ` + ns
	if !apierrors.IsForbidden(err) || err.Error() != want {
		t.Fatalf("the delete ended with\n%v\nwant\n%s", err, want)
	}
	if p := shared.alive(t, ns, "a"); keys.Pod.Has(p.Annotations) {
		t.Errorf("a denied delete left %q", p.Annotations)
	}

	shared.annotate(t, ns, "a", "the experiment is over")
	if err := alice.Pods(ns).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{Code: reason.UserRequest,
		Text: "the experiment is over", By: "alice"})
}

func TestInvalidReasonsOfPeopleAreRefused(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice").CoreV1()
	tests := map[string]struct{ text, want string }{
		"blanks": {" \t \n", "the reason is empty"},
		"too-long": {strings.Repeat("long ", 400),
			"the reason has 1999 bytes, at most 1024 are allowed"},
		"escapes": {"gone \x1b[2J\x1b]0;owned\x07",
			"the reason contains the control character U+001B at byte 5"},
		"newline": {"one\ntwo", "the reason contains the control character U+000A at byte 3"},
		"directions": {"safe \u202egnp.exe",
			"the reason contains the control character U+202E at byte 5"},
	}
	for name, tc := range tests {
		shared.pod(t, ns, node, name)
		shared.annotate(t, ns, name, tc.text)
		err := alice.Pods(ns).Delete(t.Context(), name, metav1.DeleteOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: the delete ended with %v, want a denial that says %q", name, err, tc.want)
		}
		shared.alive(t, ns, name)
	}
}

func TestReasonOfAMegabyteIsRefusedByTheAPIServer(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	patch, err := json.Marshal(
		map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{keys.Pod.Reason: strings.Repeat("x", 1<<20)}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = shared.client.CoreV1().Pods(ns).Patch(t.Context(), "a", types.MergePatchType, patch,
		metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Fatalf("the annotation of 1 MiB ended with %v, want it to be invalid", err)
	}
	if p := shared.alive(t, ns, "a"); keys.Pod.Has(p.Annotations) {
		t.Error("something of it was stored")
	}
}

func TestBrokenReasonOfAProgramIsMended(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	tests := map[string]struct{ text, want string }{
		"escapes":  {"disk \x1b[31mfull\x1b[0m", `disk \x1b[31mfull\x1b[0m`},
		"too-long": {strings.Repeat("é", 1000), strings.Repeat("é", 510) + "…"},
	}
	for name, tc := range tests {
		shared.pod(t, ns, node, name)
		shared.annotate(t, ns, name, tc.text)
		if err := shared.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), name,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+name,
			reason.Reason{Code: reason.UserRequest, Text: reason.Text(tc.want), By: runner})
	}
}

func TestEveryFormOfDeleteIsFilledIn(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pods := shared.as(t, runner).CoreV1().Pods(ns)
	uid := shared.pod(t, ns, node, "precondition-uid").UID
	tests := map[string]struct {
		change  func(*corev1.Pod)
		options metav1.DeleteOptions
	}{
		"graceful": {},
		"forced":   {options: metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}},
		"unbound": {change: func(p *corev1.Pod) {
			p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/wait"}}
		}},
		"precondition-uid": {options: metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &uid}}},
	}
	for name, tc := range tests {
		switch {
		case tc.change != nil:
			if _, err := shared.client.CoreV1().Pods(ns).Create(t.Context(),
				podSpec(ns, node, name, tc.change), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		case name != "precondition-uid":
			shared.pod(t, ns, node, name)
		}
		if err := pods.Delete(t.Context(), name, tc.options); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+name, unexplained)
	}
}

func TestDryRunWritesNothing(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	before := shared.pod(t, ns, node, "a")
	for how, dryRun := range bothWays() {
		dryRun.DryRun = []string{metav1.DryRunAll}
		if err := shared.as(t, runner).CoreV1().Pods(ns).Delete(t.Context(), "a",
			dryRun); err != nil {
			t.Errorf("%s: a program's dry run: %v", how, err)
		}
		if err := shared.as(t, "alice").CoreV1().Pods(ns).Delete(t.Context(),
			"a", dryRun); !apierrors.IsForbidden(err) {
			t.Errorf("%s: a person's dry run ended with %v, want what the delete would end with",
				how, err)
		}
	}
	if after := shared.alive(t, ns, "a"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("the pod was written: resource version %s became %s", before.ResourceVersion,
			after.ResourceVersion)
	}
}

// bothWays are deletions of a pod that goes on terminating, whose reason is written after the
// answer, and of one that goes at once, whose reason is written before.
func bothWays() map[string]metav1.DeleteOptions {
	return map[string]metav1.DeleteOptions{"lingers": {}, "at-once": atOnce}
}

func TestDeleteCollectionReasonsEachObject(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	for how := range bothWays() {
		for _, name := range []string{"a", "b", "c"} {
			shared.pod(t, ns, node, how+"-"+name, func(p *corev1.Pod) {
				p.Labels = map[string]string{"how": how}
			})
		}
	}
	err := shared.as(t, "alice").CoreV1().Pods(ns).DeleteCollection(t.Context(),
		metav1.DeleteOptions{}, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a person's deletecollection ended with %v, want it denied", err)
	}
	for how, options := range bothWays() {
		if err := shared.as(t, runner).CoreV1().Pods(ns).DeleteCollection(t.Context(),
			options, metav1.ListOptions{LabelSelector: "how=" + how}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b", "c"} {
			shared.leaves(t, reason.Pod, ns+"/"+how+"-"+name, unexplained)
		}
	}
}

// A pod that goes on terminating is not written to before its DELETE is carried out; one that goes
// at once is.
func TestResourceVersionPreconditionConflictsOnce(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pods := shared.as(t, runner).CoreV1().Pods(ns)
	p := shared.pod(t, ns, node, "lingers")
	only := metav1.Preconditions{ResourceVersion: &p.ResourceVersion}
	if err := pods.Delete(t.Context(), "lingers",
		metav1.DeleteOptions{Preconditions: &only}); err != nil {
		t.Errorf("the graceful delete ended with %v, although nobody but us wrote to the pod", err)
	}
	shared.leaves(t, reason.Pod, ns+"/lingers", unexplained)

	p = shared.pod(t, ns, node, "a")
	at := func(version string) metav1.DeleteOptions {
		return metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0)),
			Preconditions: &metav1.Preconditions{ResourceVersion: &version}}
	}
	if err := pods.Delete(t.Context(), "a", at(p.ResourceVersion)); !apierrors.IsConflict(err) {
		t.Fatalf("the first delete ended with %v, want a conflict with our own write", err)
	}
	p = shared.alive(t, ns, "a")
	if got := p.Annotations[keys.Pod.Reason]; got != string(unexplained.Text) {
		t.Errorf("after the conflict the pod carries %q", got)
	}
	if err := pods.Delete(t.Context(), "a", at(p.ResourceVersion)); err != nil {
		t.Fatalf("the retry: %v", err)
	}
	shared.leaves(t, reason.Pod, ns+"/a", unexplained)
}

func TestFinalizersHold(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	pods := shared.as(t, runner).CoreV1().Pods(ns)
	for name, options := range bothWays() {
		shared.pod(t, ns, node, name,
			func(p *corev1.Pod) { p.Finalizers = []string{"example.com/hold"} })
		if err := pods.Delete(t.Context(), name, options); err != nil {
			t.Fatal(err)
		}
		// The kubelet is done with it first.
		shared.eventually(t, name+" is held by its finalizer alone",
			func(ctx context.Context) (bool, error) {
				p, err := pods.Get(ctx, name, metav1.GetOptions{})
				if err != nil || ptr.Deref(p.DeletionGracePeriodSeconds, -1) != 0 {
					return false, err
				}
				if p.Annotations[keys.Pod.Reason] != string(unexplained.Text) {
					t.Errorf("the held pod carries %q", p.Annotations)
				}
				return true, nil
			})
		if _, err := pods.Patch(t.Context(), name, types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		shared.leaves(t, reason.Pod, ns+"/"+name, unexplained)
	}
}

// Somebody is impatient: what the first one was asked about is known, and who asked first.
func TestForceRightAfterADelete(t *testing.T) {
	t.Parallel()
	shared.forcesRightAfterADelete(t)
}

func (c *cluster) forcesRightAfterADelete(t *testing.T) {
	t.Helper()
	ns, node := c.namespace(t), c.node(t).Name
	first, second := c.as(t, runner), c.as(t, cleaner)
	hurries := map[string]func(pod string) error{
		"at-once": func(pod string) error {
			return second.CoreV1().Pods(ns).Delete(t.Context(), pod, atOnce)
		},
		"sooner": func(pod string) error {
			return second.CoreV1().Pods(ns).Delete(t.Context(), pod,
				metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(2))})
		},
		"evicted": func(pod string) error {
			return second.PolicyV1().Evictions(ns).Evict(t.Context(), &policyv1.Eviction{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: pod}})
		},
	}
	const each = 12
	for how := range hurries {
		for n := range each {
			c.create(t, podSpec(ns, node, fmt.Sprintf("%s-%d", how, n), lasting))
		}
	}
	c.running(t, ns, each*len(hurries), "")
	var work sync.WaitGroup
	for how, hurry := range hurries {
		for n := range each {
			pod := fmt.Sprintf("%s-%d", how, n)
			work.Go(func() {
				err := first.CoreV1().Pods(ns).Delete(t.Context(), pod, metav1.DeleteOptions{})
				if err == nil {
					err = hurry(pod)
				}
				if err != nil {
					t.Errorf("%s: %v", pod, err)
				}
			})
		}
	}
	work.Wait()
	for how := range hurries {
		for n := range each {
			pod := fmt.Sprintf("%s-%d", how, n)
			if how == "evicted" { // it lasts
				c.told(t, ns, pod)
				if err := second.CoreV1().Pods(ns).Delete(t.Context(), pod, atOnce); err != nil {
					t.Fatal(err)
				}
			}
			c.leaves(t, reason.Pod, ns+"/"+pod, unexplained)
		}
	}
}

// told waits until a pod carries a reason.
func (c *cluster) told(t *testing.T, ns, pod string) {
	t.Helper()
	c.eventually(t, pod+" carries a reason", func(ctx context.Context) (bool, error) {
		p, err := c.client.CoreV1().Pods(ns).Get(ctx, pod, metav1.GetOptions{})
		return err == nil && keys.Pod.Has(p.Annotations), err
	})
}

func TestNamespaceDeletionIsNotHeldUp(t *testing.T) {
	t.Parallel()
	ns, node := shared.namespace(t), shared.node(t).Name
	shared.pod(t, ns, node, "a")
	if err := shared.as(t, "alice").CoreV1().Namespaces().Delete(t.Context(), ns,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.NamespaceDeleted, By: "alice",
		Text: reason.Text("This pod was removed because its namespace was deleted " +
			"(alice deleted Namespace " + ns + ")"),
	})
	shared.eventually(t, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := shared.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

func TestPersonMustSayWhyANodeGoes(t *testing.T) {
	t.Parallel()
	ns, node, alice := shared.namespace(t), shared.node(t).Name, shared.as(t, "alice").CoreV1()
	shared.pod(t, ns, node, "a")
	if err := alice.Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("the delete ended with %v, want it denied", err)
	}
	patch := []byte(`{"metadata":{"annotations":{"` + keys.Node.Reason + `":"the rack is moved"}}}`)
	if _, err := shared.client.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType,
		patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := alice.Nodes().Delete(t.Context(), node, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	shared.leaves(t, reason.Node, node, reason.Reason{Code: reason.UserRequest,
		Text: "the rack is moved", By: "alice"})
	shared.leaves(t, reason.Pod, ns+"/a", reason.Reason{
		Code: reason.NodeDeleted, By: "alice",
		Text: reason.Text("This pod had to be terminated because its node was deleted (" + node +
			": the rack is moved)"),
	})
}

// A finalizer holds a Node, as Karpenter's does, and somebody else deletes it once more meanwhile.
func TestNodeGoesBecauseOfWhoAskedFirst(t *testing.T) {
	t.Parallel()
	node := shared.node(t).Name
	nodes := shared.client.CoreV1().Nodes()
	finalizers := func(change string) {
		t.Helper()
		if _, err := nodes.Patch(t.Context(), node, types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":`+change+`}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	finalizers(`["example.com/held"]`)
	for _, who := range []string{runner, cleaner} {
		if err := shared.as(t, who).CoreV1().Nodes().Delete(t.Context(), node,
			metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	finalizers("null")
	shared.leaves(t, reason.Node, node, reason.New(reason.Node, reason.Unexplained, runner, runner))
	if o := shared.recordOf(t, node); o.Spec.By != runner || o.Spec.DeletedBy != runner {
		t.Errorf("by %q, deleted by %q, want %s twice", o.Spec.By, o.Spec.DeletedBy, runner)
	}
}

// Whatever reaches the port, the manager answers and lives on.
func TestMalformedReviewsAreAnswered(t *testing.T) {
	t.Parallel()
	//nolint:gosec // the sandbox's own certificate
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	url := "https://" + shared.Epitaph.Config.Webhook.Address + webhook.Path
	tests := map[string]struct {
		body []byte
		want int
	}{
		"nothing":      {nil, http.StatusBadRequest},
		"bytes":        {bytes.Repeat([]byte{0xff, 0}, 1000), http.StatusBadRequest},
		"deep":         {bytes.Repeat([]byte("["), 3_000_000), http.StatusBadRequest},
		"deep objects": {bytes.Repeat([]byte(`{"a":`), 600_000), http.StatusBadRequest},
		"nearly a pod": {
			append(
				[]byte(
					`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","oldObject":{"x":`), bytes.Repeat([]byte("["), 3_000_000)...),
			http.StatusBadRequest,
		},
		"a large object": {bytes.Repeat([]byte(" "), 8<<20), http.StatusRequestEntityTooLarge},
	}
	for name, tc := range tests {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url,
			bytes.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		response, err := client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = response.Body.Close()
		if response.StatusCode != tc.want {
			t.Errorf("%s: status %d, want %d", name, response.StatusCode, tc.want)
		}
	}
	if !shared.Epitaph.Running() {
		t.Error("the manager has ended")
	}
}

// The API server may ask about a copy from before somebody said why. What they said must not be
// overwritten by what follows without it.
func TestReasonGivenJustBeforeTheDeleteIsKept(t *testing.T) {
	t.Parallel()
	ns, node, pods := shared.namespace(t), shared.node(t).Name, shared.as(t, runner).CoreV1().Pods
	const many = 60
	before := shared.unasked(t, registration.PodsWebhook)
	for n := range many {
		shared.create(t, podSpec(ns, node, fmt.Sprintf("p%d", n)))
	}
	shared.running(t, ns, many, "")
	var work sync.WaitGroup
	for n := range many {
		name := fmt.Sprintf("p%d", n)
		work.Go(func() {
			shared.annotate(t, ns, name, "said a moment before")
			options := atOnce
			if n%2 == 0 {
				options = metav1.DeleteOptions{}
			}
			if err := pods(ns).Delete(t.Context(), name, options); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	work.Wait()
	want := reason.Reason{Code: reason.UserRequest, Text: "said a moment before", By: runner}
	var others []reason.Reason
	for n := range many {
		d := shared.leaves(t, reason.Pod, fmt.Sprintf("%s/p%d", ns, n), reason.Reason{})
		if d.Reason.Text != want.Text {
			t.Errorf("a pod left with %+v", d.Reason)
		}
		if d.Reason != want {
			others = append(others, d.Reason)
		}
	}
	if unasked := shared.unasked(t, registration.PodsWebhook) - before; len(others) > unasked {
		t.Errorf("pods left with %+v instead of %+v, and the webhook was not asked about %d", others,
			want, unasked)
	}
}
