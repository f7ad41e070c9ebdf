package e2e

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlite"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// What has left the cluster is still on the page: to those who may list such records, and to nobody
// else.
func TestPageShowsTheArchive(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
		quick(k)
		k.Archive.Enabled, k.Archive.Serve = true, true
	}}})
	a, file, address, certificate := c.archiverThatAnswers(t)
	a.start(t)
	c.publish(t, address, certificate)
	mine, theirs := c.namespace(t), c.namespace(t)
	node := panickedNode()
	of := func(s *v1alpha1.PodObituarySpec) {
		s.NodeName, s.NodeObituary = node.Spec.NodeName, node.Name
		began := metav1.NewTime(s.Removed.Add(-90 * time.Minute))
		s.Began, s.Requests = &began, map[string]v1alpha1.Amount{"nvidia.com/gpu": "4"}
		s.Owners = []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "nightly"}}
	}
	own, other := obituary(mine, "own", of), obituary(theirs, "other", of)
	again := panickedNode()
	again.Spec.NodeName = node.Spec.NodeName
	c.listed(t, node, again, own, other)
	reader, all := c.reader(t, mine, "ursula"), c.clusterReader(t, mine)
	nodesOnly, machinist := c.account(t, mine, "machinist")
	c.grantIn(t, "", machinist, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupVersion.Group},
		Resources: []string{"nodeobituaries"}, Verbs: []string{"get", "list"}})
	c.hasRight(t, machinist, "", v1alpha1.GroupVersion.Group, "nodeobituaries", "list")
	store, err := sqlite.Open(t.Context(), filepath.Clean(file), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	c.eventually(t, "all are archived", func(ctx context.Context) (bool, error) {
		page, err := store.List(ctx, archive.Query{Cluster: a.name})
		return len(page.Records) == 4, err
	})
	for _, o := range []*v1alpha1.PodObituary{own, other} {
		if err := c.records(t).Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []*v1alpha1.NodeObituary{node, again} {
		if err := c.records(t).Delete(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually(t, "the page has forgotten them", func(context.Context) (bool, error) {
		got := c.visit(t, http.MethodGet, "/?namespace="+mine, reader, nil)
		return got.status == 200 && !strings.Contains(got.body, "/own</a>"), nil
	})
	c.eventually(t, "the archive has started", func(context.Context) (bool, error) {
		got := c.visit(t, http.MethodGet, "/archive?namespace="+mine, reader, nil)
		return got.status != http.StatusServiceUnavailable, nil
	})

	story := "/pods/" + mine + "/" + own.Name
	// In an hour and a half each, one of one pod and two of two: 667 in 1,000 hours.
	const history = "/archive/history?since=9000d"
	for _, tc := range []struct {
		who, path string
		status    int
		want      string
	}{
		{reader, story, 200, "This pod died unexpectedly because the underlying node kernel panicked!"},
		{reader, "/jobs/" + mine + "/nightly", 200, ">own</a>"},
		{reader, "/archive?namespace=" + mine, 200, `<a href="` + story + `">`},
		{reader, "/archive?code=Evicted&namespace=" + mine, 200, "The archive has no such records."},
		{reader, "/archive?since=nonsense&namespace=" + mine, 400, "What the form says cannot be read"},
		{reader, "/archive?after=nonsense&namespace=" + mine, 400, "The archive does not understand"},
		{reader, "/archive", 403, "You have no right to read this of the archive"},
		{reader, "/archive?namespace=" + theirs, 403, "You have no right"},
		{reader, "/archive?cluster=%2A&namespace=" + mine, 403, "You have no right"},
		{reader, story + "?cluster=another", 403, "You have no right"},
		{reader, "/archive/nodes", 403, "You have no right"},
		{reader, "/pods/" + theirs + "/" + other.Name, 403, "You have no right"},
		{reader, "/nodes/" + node.Name, 403, "You have no right"},
		{reader, "/pods/" + mine + "/never-was", 404, "There is nothing here"},
		{reader, "/jobs/" + mine + "/never-was", 404, "There is nothing here"},
		{"", story, 401, "What happened to my pod"},
		{"", "/archive", 401, "What happened to my pod"},
		{all, "/archive", 200, mine + "/own</a>"},
		{all, "/archive", 200, theirs + "/other</a>"},
		{all, "/archive?cluster=" + a.name, 200, mine + "/own</a> of " + a.name},
		{all, "/archive?cluster=another", 403, "epitaph-archive-fleet"},
		{all, "/archive/nodes", 200, node.Spec.NodeName + "</a>"},
		{all, "/nodes/" + node.Name, 200, "The last lines of its kernel"},
		{all, story, 200, `href="/nodes/` + node.Name},
		{all, "/nodes/" + node.Name, 200, "It took down 2 pods, which had run for 3.0 pod-hours and held GPUs for 12.0 GPU-hours"},
		{all, "/nodes/" + node.Name, 200, mine + ": Job/nightly</a></td><td>1</td><td>1.5</td><td>6.0</td>"},
		{all, "/nodes/" + node.Name + "?namespace=" + mine + "&owner=Job/nightly", 200, `<a href="` + story + `">`},
		{nodesOnly, "/nodes/" + node.Name, 200, "The last lines of its kernel"},
		{reader, history + "&namespace=" + mine, 200, "<td>KernelPanic</td><td>1</td><td>1.5</td><td>666.67</td>"},
		{all, history, 200, "<td>KernelPanic</td><td>2</td><td>3.0</td><td>666.67</td>"},
		{all, history + "&by=namespace", 200, "<td>" + mine + "</td><td>KernelPanic</td><td>1</td>"},
		{all, history, 200, `&amp;since=9000d">` + node.Spec.NodeName + "</a></td><td>2 times</td>"},
		{all, history, 200, "<td>no trace is on record</td><td>2</td><td>1</td>"},
		{all, history + "&cluster=" + a.name, 200, "<td>" + a.name + "</td><td>2 times</td>"},
		{all, "/archive/history?since=1h", 200, "No pod was disrupted."},
		{all, history + "&by=nonsense", 400, "The archive does not understand"},
		{all, "/archive/history?since=nonsense", 400, "What the form says cannot be read"},
		{all, history + "&cluster=another", 403, "epitaph-archive-fleet"},
		{reader, history, 403, "You have no right"},
		{nodesOnly, history, 403, "You have no right"},
	} {
		got := c.visit(t, http.MethodGet, tc.path, tc.who, nil)
		if got.status != tc.status || !strings.Contains(got.body, tc.want) ||
			got.status != 200 && strings.Contains(got.body, "panicked") {
			t.Errorf("%s is answered %d, want %d with %q:\n%s", tc.path, got.status, tc.status, tc.want, got.body)
		}
	}

	// A policy is tried on the records that the visitor may read, and on no others.
	const policy = "webhook: {rules: [{name: people, actors: [Person], action: Require}]}"
	for _, tc := range []struct {
		who, namespace, cluster string
		status                  int
		want                    string
	}{
		{reader, mine, "", 200, "What would have become of 1 deletions"},
		{all, "", "", 200, "What would have become of 4 deletions"},
		{all, "", "", 200, "<td>passed</td><td>4</td>"},
		{reader, "", "", 403, "You have no right"},
		{reader, theirs, "", 403, "You have no right"},
		{nodesOnly, "", "", 403, "You have no right"},
		{all, "", "another", 403, "epitaph-archive-fleet"},
		{"", mine, "", 401, "What happened to my pod"},
	} {
		got := c.visit(t, http.MethodPost, "/archive/replay", tc.who, url.Values{"policy": {policy},
			"namespace": {tc.namespace}, "cluster": {tc.cluster}, "since": {"9000d"}})
		if got.status != tc.status || !strings.Contains(got.body, tc.want) {
			t.Errorf("a policy for %q is answered %d, want %d with %q:\n%s", tc.namespace, got.status,
				tc.status, tc.want, got.body)
		}
	}

	for _, tc := range []struct{ who, path, not string }{
		{nodesOnly, "/nodes/" + node.Name, "took down"},
		{reader, history + "&namespace=" + mine, "left more than once"},
	} {
		if got := c.visit(t, http.MethodGet, tc.path, tc.who, nil); strings.Contains(got.body, tc.not) {
			t.Errorf("who may not list it is told of it:\n%s", got.body)
		}
	}

	// Without the archive, the page says that it cannot know.
	a.process.Kill()
	if got := c.visit(t, http.MethodGet, story, reader, nil); got.status != http.StatusBadGateway {
		t.Errorf("while the archive is away, the answer is %d", got.status)
	}
	if err := c.client.CoreV1().ConfigMaps(metav1.NamespacePublic).Delete(t.Context(), "epitaph-archive",
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}
