package page

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
)

// downWith is the record of a pod that node n-1 took down, after two hours with GPUs.
func downWith(name string, gpus v1alpha1.Amount, owners ...v1alpha1.Owner) *v1alpha1.PodObituary {
	began := metav1.NewTime(noon.Add(-2 * time.Hour))
	return &v1alpha1.PodObituary{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name + "-1"},
		Spec: v1alpha1.PodObituarySpec{PodName: name, NodeName: "gpu-1", NodeObituary: "n-1",
			Began: &began, Removed: metav1.NewTime(noon), Owners: owners,
			Requests: map[string]v1alpha1.Amount{"nvidia.com/gpu": gpus}}}
}

// downStage is a node with pods that the cluster has, and a page with an archive that answers.
func downStage(t *testing.T, answer http.HandlerFunc) *Page {
	t.Helper()
	set := []v1alpha1.Owner{{Kind: "Job", Name: "train-0"}, {Kind: "JobSet", Name: "train"}}
	lost := downWith("lost", "1")
	lost.Spec.Began = nil
	another := downWith("another", "8")
	another.Spec.NodeObituary = "n-0"
	s := &stage{pods: []*v1alpha1.PodObituary{downWith("a", "8", set...), lost, another},
		node: &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: "n-1"},
			Spec: v1alpha1.NodeObituarySpec{NodeName: "gpu-1", Removed: metav1.NewTime(noon)}}}
	p := s.page(t)
	if answer != nil {
		p.asks(t, answer)
	}
	return p
}

// asks gives a page an archive that answers.
func (p *Page) asks(t *testing.T, answer http.Handler) {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.Archive = func(context.Context) (*ask.Client, error) {
		return &ask.Client{URL: at, HTTP: server.Client()}, nil
	}
}

// A node's page says what it took down, of the cluster and of the archive together, each pod once.
func TestWhatANodeTookDown(t *testing.T) {
	t.Parallel()
	set := v1alpha1.Owner{Kind: "JobSet", Name: "train"}
	archived := func(w http.ResponseWriter, r *http.Request) {
		if want := "node=gpu-1&since=2026-05-01T11%3A00%3A00Z&until=2026-05-08T12%3A00%3A00Z"; r.URL.RawQuery != want {
			t.Errorf("the archive is asked %s, want %s", r.URL.RawQuery, want)
		}
		var list archive.List
		for _, o := range []*v1alpha1.PodObituary{downWith("a", "8", set), downWith("b", "8", set),
			downWith("<i>", "0")} {
			document, err := json.Marshal(o)
			if err != nil {
				t.Error(err)
			}
			list.Items = append(list.Items, archive.Item{Cluster: "c", Record: document})
		}
		_ = json.NewEncoder(w).Encode(list)
	}
	many := func(w http.ResponseWriter, _ *http.Request) {
		list := archive.List{Next: "more", Items: make([]archive.Item, maxDown/2)}
		for n := range list.Items {
			list.Items[n].Record = json.RawMessage("{}")
		}
		_ = json.NewEncoder(w).Encode(list)
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		path   string
		want   []string
		not    string
	}{
		"without an archive": {nil, "/nodes/n-1", []string{
			"It took down 2 pods, which had run for 2.0 pod-hours and held GPUs for 16.0 GPU-hours: at most that is lost. Of 1 it is not known",
			`<a href="/nodes/n-1?namespace=ns&amp;owner=JobSet%2Ftrain">ns: JobSet/train</a></td><td>1</td><td>2.0</td><td>16.0</td>`,
			`<a href="/nodes/n-1?namespace=ns&amp;pod=lost">ns: Pod/lost</a></td><td>1</td><td>0.0</td><td>0.0</td>`,
		}, "another"},
		"with one": {archived, "/nodes/n-1", []string{
			"It took down 4 pods, which had run for 6.0 pod-hours and held GPUs for 32.0 GPU-hours",
			`ns: JobSet/train</a></td><td>2</td><td>4.0</td><td>32.0</td>`,
			"ns: Pod/&lt;i&gt;</a></td><td>1</td><td>2.0</td><td>0.0</td>", `<a href="/pods/ns/b-1">ns/b</a>`,
		}, "<i>"},
		"of one owner": {archived, "/nodes/n-1?namespace=ns&owner=JobSet/train", []string{
			"It took down 4 pods", `Of ns/JobSet/train: <a href="/nodes/n-1">all its pods</a>`,
			`<a href="/pods/ns/a-1">ns/a</a>`, "1 to 2 of 2"}, "/pods/ns/lost-1"},
		"of one pod": {archived, "/nodes/n-1?namespace=ns&pod=lost",
			[]string{`<a href="/pods/ns/lost-1">ns/lost</a>`, "1 to 1 of 1"}, "/pods/ns/a-1"},
		"one that is away": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
			"/nodes/n-1", []string{"It took down 2 pods",
				"The archive could not be asked: what it alone has is not counted."}, "another"},
		"one that refuses": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
			"/nodes/n-1", []string{"It took down 2 pods"}, "The archive"},
		"one with too much": {many, "/nodes/n-1",
			[]string{"It took down 2 pods", "More than 2000 pods left a node of this name: some are not counted."},
			"could not be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := visited(t, downStage(t, tc.answer), tc.path)
			if status != http.StatusOK {
				t.Fatalf("%d: %s", status, body)
			}
			for _, want := range tc.want {
				if !strings.Contains(body, want) {
					t.Errorf("there is no %q in\n%s", want, body)
				}
			}
			if strings.Contains(body, tc.not) {
				t.Errorf("there is %q in\n%s", tc.not, body)
			}
		})
	}
}

// Owners beyond those that have room are counted.
func TestTollsAreBounded(t *testing.T) {
	t.Parallel()
	var pods []*record
	for n := range rowsShown + 7 {
		pods = append(pods, recordOf(downWith(strings.Repeat("x", n+1), "1")))
	}
	got := tollOf(pods, func(q query) string { return q.Pod })
	if got.Pods != rowsShown+7 || len(got.Owners) != rowsShown || got.Omitted != 7 {
		t.Errorf("%d pods, %d rows, %d omitted", got.Pods, len(got.Owners), got.Omitted)
	}
	if tollOf(nil, nil) != nil {
		t.Error("of no pods there is a toll")
	}
}
