package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// reportEvery and fewResults are what reporting sets.
	reportEvery = time.Second
	fewResults  = 5
)

// reporting has findings reported, soon and few. With the older format, reasons are not enforced.
func reporting(format string) func(*config.Config) {
	return func(c *config.Config) {
		quick(c)
		if format == config.PolicyReport {
			c.Webhook.Mode = config.AuditMode
		}
		c.Audit.Reports = config.Reports{Enabled: true, Format: format, MaxResults: fewResults,
			Every: metav1.Duration{Duration: reportEvery}}
	}
}

// kinds are those of a format: in a namespace, and of the cluster.
type kinds struct{ namespaced, cluster schema.GroupVersionKind }

var reportKinds = map[string]kinds{
	config.OpenReports: {gvk("openreports.io/v1alpha1", "Report"),
		gvk("openreports.io/v1alpha1", "ClusterReport")},
	config.PolicyReport: {gvk("wgpolicyk8s.io/v1alpha2", "PolicyReport"),
		gvk("wgpolicyk8s.io/v1alpha2", "ClusterPolicyReport")},
}

func gvk(version, kind string) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(version, kind)
}

// theReport reads Epitaph's report; it is nil where there is none.
func (c *cluster) theReport(ctx context.Context, t *testing.T, kind schema.GroupVersionKind,
	namespace string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	err := c.typed(t, c.RESTConfig()).Get(ctx,
		client.ObjectKey{Namespace: namespace, Name: "epitaph-findings"}, u)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return u
}

// reported waits until a report has results about exactly these objects, the newest first, where
// the note about others is "".
func (c *cluster) reported(t *testing.T, kind schema.GroupVersionKind, namespace string,
	want ...string) *unstructured.Unstructured {
	t.Helper()
	var u *unstructured.Unstructured
	var got []string
	deadline := time.Now().Add(patience)
	for ; time.Now().Before(deadline); time.Sleep(poll) {
		if u = c.theReport(t.Context(), t, kind, namespace); u == nil && len(want) == 0 {
			return nil
		} else if u == nil {
			continue
		}
		if got = namesIn(u); cmp.Equal(want, got) {
			return u
		}
	}
	t.Fatalf("the report of %q is about %q, want %q", namespace, got, want)
	return nil
}

func namesIn(u *unstructured.Unstructured) []string {
	names := []string{}
	for _, r := range resultsIn(u) {
		about, _, _ := unstructured.NestedSlice(r, "resources")
		name := ""
		if len(about) == 1 {
			name = about[0].(map[string]any)["name"].(string)
		}
		names = append(names, name)
	}
	return names
}

func resultsIn(u *unstructured.Unstructured) (results []map[string]any) {
	all, _, _ := unstructured.NestedSlice(u.Object, "results")
	for _, r := range all {
		results = append(results, r.(map[string]any))
	}
	return results
}

// finding writes the obituary of a pod that left without a reason, as the recorder would.
func (c *cluster) finding(t *testing.T, ns, pod string, left time.Time,
	change ...func(*v1alpha1.PodObituary)) {
	t.Helper()
	c.fileOf(t, ns, pod, left, reason.New(reason.Pod, reason.Unexplained, runner, runner),
		change...)
}
