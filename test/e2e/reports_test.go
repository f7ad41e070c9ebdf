package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/reports"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The definitions are those of the modules. What is compared was read back, so the API server knew
// every field of it.
func TestFindingsAreReported(t *testing.T) {
	t.Parallel()
	for format, kind := range reportKinds {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			c := ownCluster(t, sandbox.Options{Reports: []string{format},
				Epitaph: sandbox.EpitaphOptions{Configure: reporting(format)}})
			t.Run("one pod", func(t *testing.T) { onePodIsReported(t, c, kind) })
			if names := c.queues(t); !slices.Contains(names, reports.Queue) {
				t.Errorf("the queues %q are counted, want %s too", names, reports.Queue)
			}
			t.Run("the newest", func(t *testing.T) { newestAreReported(t, c, kind) })
			t.Run("what is explained later leaves",
				func(t *testing.T) { explainedLeaves(t, c, kind) })
			t.Run("nodes", func(t *testing.T) { nodesAreReported(t, c, kind) })
			t.Run("hostile text", func(t *testing.T) { hostileFindingIsReported(t, c, kind) })
			t.Run("a report of another owner",
				func(t *testing.T) { foreignReportStays(t, c, kind) })
			t.Run("a namespace that goes", func(t *testing.T) { namespaceThatGoes(t, c) })
			t.Run("removed by hand", func(t *testing.T) { removedByHand(t, c, kind) })
			t.Run("no right is unused", func(t *testing.T) { noReportRightIsUnused(t, c, format) })
		})
	}
}

func onePodIsReported(t *testing.T, c *cluster, kind kinds) {
	ns, node := c.namespace(t), c.node(t).Name
	pod := c.pod(t, ns, node, "unsaid")
	c.pod(t, ns, node, "said")
	c.annotate(t, ns, "said", "frees the licence")
	c.remove(t, c.as(t, runner), ns, "said")
	c.recorded(t, ns, "said")
	c.remove(t, c.as(t, runner), ns, "unsaid")
	o := c.recorded(t, ns, "unsaid")
	u := c.reported(t, kind.namespaced, ns, "unsaid")
	want := map[string]any{
		"apiVersion": kind.namespaced.GroupVersion().String(), "kind": kind.namespaced.Kind,
		"summary": map[string]any{"pass": int64(0), "fail": int64(1), "warn": int64(0),
			"error": int64(0), "skip": int64(0)},
		"results": []any{map[string]any{
			"source": "epitaph", "policy": "every-deletion-has-a-reason", "rule": "pods",
			"category": "Audit", "severity": "medium",
			"result": "fail", "scored": true,
			"timestamp": map[string]any{"seconds": o.Spec.Removed.Unix(), "nanos": int64(0)},
			"message":   "Nobody said why this pod was deleted, and nothing could be inferred (deleted by " + runner + ")",
			"resources": []any{map[string]any{"apiVersion": "v1", "kind": "Pod", "namespace": ns,
				"name": "unsaid", "uid": string(pod.UID)}},
			"properties": map[string]any{
				"by": runner, "code": "Unexplained", "node": node, "obituary": o.Name,
			},
		}},
	}
	if kind.namespaced.Kind == "Report" {
		want["source"] = "epitaph"
		want["configuration"] = map[string]any{
			"limits": map[string]any{"maxResults": int64(fewResults)}}
	} else {
		want["summary"].(map[string]any)["fail"], want["summary"].(map[string]any)["warn"] = int64(
			0), int64(1)
		result := want["results"].([]any)[0].(map[string]any)
		result["result"] = "warn"
		delete(result, "scored")
	}
	if labels := u.GetLabels(); !cmp.Equal(labels,
		map[string]string{"app.kubernetes.io/managed-by": "epitaph"}) {
		t.Errorf("labels %q", labels)
	}
	delete(u.Object, "metadata")
	if diff := cmp.Diff(want, u.Object); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	out, err := c.kubectl(t, ns, "get", strings.ToLower(kind.namespaced.Kind)+"s."+
		kind.namespaced.Group)
	if err != nil || !strings.Contains(out, "epitaph-findings") {
		t.Errorf("kubectl shows %q (%v)", out, err)
	}
	t.Logf("kubectl shows\n%s", out)
}

func newestAreReported(t *testing.T, c *cluster, kind kinds) {
	ns, records, now := c.namespace(t), c.typed(t, c.RESTConfig()), time.Now()
	for n := range fewResults + 3 {
		c.finding(t, ns, fmt.Sprintf("p-%d", n), now.Add(time.Duration(n)*time.Minute))
	}
	u := c.reported(t, kind.namespaced, ns, "p-7", "p-6", "p-5", "p-4", "p-3", "")
	note := resultsIn(u)[fewResults]
	if note["result"] != "skip" ||
		note["message"] != "3 older findings do not fit here; kubectl epitaph audit counts them all" {
		t.Errorf("the note about the others is %v", note)
	}
	for _, o := range c.obituaries(t, ns) {
		if o.Spec.PodName != "p-2" {
			if err := records.Delete(t.Context(), &o); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.reported(t, kind.namespaced, ns, "p-2")
	for _, o := range c.obituaries(t, ns) {
		if err := records.Delete(t.Context(), &o); err != nil {
			t.Fatal(err)
		}
	}
	c.reported(t, kind.namespaced, ns)
}

func explainedLeaves(t *testing.T, c *cluster, kind kinds) {
	ns, records := c.namespace(t), c.typed(t, c.RESTConfig())
	c.finding(t, ns, "stays", time.Now())
	c.finding(t, ns, "explained", time.Now().Add(time.Minute))
	u := c.reported(t, kind.namespaced, ns, "explained", "stays")
	u.Object["results"], u.Object["scope"] = []any{}, map[string]any{"kind": "Pod"}
	if err := records.Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	for _, o := range c.obituaries(t, ns) {
		if o.Spec.PodName == "explained" {
			amend := audit.PodObituaries{Writer: records, Clock: clock.RealClock{}}
			if err := amend.Amend(t.Context(), &o,
				reason.New(reason.Pod, reason.KernelPanic, "Fatal exception", "kernel"), "pstore",
				""); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What somebody wrote into it meanwhile is gone, too.
	if u = c.reported(t, kind.namespaced, ns, "stays"); u.Object["scope"] != nil {
		t.Errorf("the report has the scope %v", u.Object["scope"])
	}
}

func nodesAreReported(t *testing.T, c *cluster, kind kinds) {
	first, second := c.node(t).Name, c.node(t).Name
	c.deleteNode(t, first)
	c.reported(t, kind.cluster, "", first)
	time.Sleep(1100 * time.Millisecond) // times have whole seconds
	c.deleteNode(t, second)
	u := c.reported(t, kind.cluster, "", second, first)
	if r := resultsIn(u)[0]; r["rule"] != "nodes" ||
		r["message"] != "Nobody said why this node was deleted, and nothing could be inferred (deleted by "+runner+")" {
		t.Errorf("reported %v", r)
	}
	records := c.typed(t, c.RESTConfig())
	if err := records.DeleteAllOf(t.Context(), &v1alpha1.NodeObituary{}); err != nil {
		t.Fatal(err)
	}
	c.reported(t, kind.cluster, "")
}

// Who may write obituaries (the tests may) writes what a terminal and a browser would obey.
func hostileFindingIsReported(t *testing.T, c *cluster, kind kinds) {
	ns := c.namespace(t)
	c.finding(t, ns, "evil", time.Now(), func(o *v1alpha1.PodObituary) {
		o.Spec.Reason, o.Spec.By, o.Spec.NodeName = "\x1b[2J<img src=x onerror=alert(1)>\u202e",
			"\x1b]0;owned\x07", strings.Repeat("<", 253)
		o.Spec.Owners = []v1alpha1.Owner{{Kind: strings.Repeat("&", 63),
			Name: strings.Repeat("\x07", 253)}}
	})
	u := c.reported(t, kind.namespaced, ns, "evil")
	if shown := fmt.Sprint(u.Object); strings.ContainsAny(shown, "\x1b\x07\u202e") {
		t.Errorf("a terminal would obey %q", shown)
	}
	if got := resultsIn(u)[0]["message"]; got != `\x1b[2J<img src=x onerror=alert(1)>\u202e` {
		t.Errorf("the message is %q", got)
	}
}

func foreignReportStays(t *testing.T, c *cluster, kind kinds) {
	ns, admin := c.namespace(t), c.typed(t, c.RESTConfig())
	theirs := &unstructured.Unstructured{Object: map[string]any{
		"results": []any{map[string]any{"policy": "theirs", "result": "pass"}},
	}}
	theirs.SetGroupVersionKind(kind.namespaced)
	theirs.SetNamespace(ns)
	theirs.SetName("epitaph-findings")
	if err := admin.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	before := c.metricOf(t, reports.MetricReports, "outcome", "foreign")
	c.finding(t, ns, "p", time.Now())
	c.eventually(t, "somebody else's report is seen", func(context.Context) (bool, error) {
		return c.metricOf(t, reports.MetricReports, "outcome", "foreign") > before, nil
	})
	if u := c.theReport(t.Context(), t, kind.namespaced,
		ns); u.GetResourceVersion() != theirs.GetResourceVersion() {
		t.Errorf("somebody else's report was written to: %v", u.Object)
	}
	if err := admin.Delete(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	c.reported(t, kind.namespaced, ns, "p")
}

// The obituary outlives the deletion of its namespace for a finalizer, and is a finding only then.
func namespaceThatGoes(t *testing.T, c *cluster) {
	ns, records := c.namespace(t), c.typed(t, c.RESTConfig())
	c.fileOf(t, ns, "p", time.Now(), reason.New(reason.Pod, reason.Preempted, "x", "x"),
		func(o *v1alpha1.PodObituary) {
			o.Finalizers = []string{"example.com/hold"}
		})
	if err := c.client.CoreV1().Namespaces().Delete(t.Context(), ns,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	before := c.metricOf(t, reports.MetricReports, "outcome", "namespace-gone")
	o := c.obituaries(t, ns)[0]
	o.Spec.Code, o.Spec.Class = "Unexplained", "unexplained"
	if err := records.Update(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the report finds no namespace", func(context.Context) (bool, error) {
		return c.metricOf(t, reports.MetricReports, "outcome", "namespace-gone") == before+1, nil
	})
	o = c.obituaries(t, ns)[0]
	o.Finalizers = nil
	if err := records.Update(t.Context(), &o); err != nil {
		t.Fatal(err)
	}
}

// Without Epitaph, the command of docs/audit.md removes its reports and no others.
func removedByHand(t *testing.T, c *cluster, kind kinds) {
	ns, admin := c.namespace(t), c.typed(t, c.RESTConfig())
	c.finding(t, ns, "p", time.Now())
	c.reported(t, kind.namespaced, ns, "p")
	c.deleteNode(t, c.node(t).Name)
	c.eventually(t, "the node is reported", func(ctx context.Context) (bool, error) {
		return c.theReport(ctx, t, kind.cluster, "") != nil, nil
	})
	theirs := &unstructured.Unstructured{}
	theirs.SetGroupVersionKind(kind.namespaced)
	theirs.SetNamespace(ns)
	theirs.SetName("theirs")
	if err := admin.Create(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	c.Epitaph.Stop()
	plural := func(k schema.GroupVersionKind) string {
		return strings.ToLower(k.Kind) + "s." + k.Group
	}
	remove := exec.CommandContext(t.Context(), c.Programs["kubectl"], "--kubeconfig", c.Kubeconfig,
		"delete", "--all-namespaces",
		plural(kind.namespaced)+","+plural(kind.cluster),
		"--selector=app.kubernetes.io/managed-by=epitaph")
	if out, err := remove.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if c.theReport(t.Context(), t, kind.namespaced, ns) != nil ||
		c.theReport(t.Context(), t, kind.cluster, "") != nil {
		t.Error("a report of ours is left")
	}
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(theirs), theirs); err != nil {
		t.Errorf("somebody else's report: %v", err)
	}
}
