package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

func TestPageTellsNothingToStrangers(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	o := obituary(namespace, "secret")
	shared.listed(t, o)
	form := "<h1>What happened to my pod, and may I run it again?</h1>"
	for name, token := range map[string]string{"nobody": "", "a stranger": "not-a-token",
		"too long a token": strings.Repeat("x", 9000)} {
		for _, path := range []string{"/", "/?namespace=" + namespace,
			"/pods/" + namespace + "/" + o.Name, "/nodes", "/nodes/x"} {
			got := shared.visit(t, http.MethodGet, path, token, nil)
			if got.status != http.StatusUnauthorized || !strings.Contains(got.body, form) ||
				strings.Contains(got.body, "secret") {
				t.Errorf("%s gets %s: %d %s", name, path, got.status, got.body)
			}
		}
	}
}

func TestPageHeaders(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/login", "/style.css", "/nothing"} {
		got := shared.visit(t, http.MethodGet, path, "", nil)
		for header, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
		} {
			if value := got.header.Get(header); value != want {
				t.Errorf("%s: %s is %q, want %q", path, header, value, want)
			}
		}
	}
}

// A user of one namespace sees their own and no others, on every path.
func TestPageOfAUserOfOneNamespace(t *testing.T) {
	t.Parallel()
	mine, theirs := shared.namespace(t), shared.namespace(t)
	node := panickedNode()
	withNode := func(s *v1alpha1.PodObituarySpec) {
		s.NodeName, s.NodeObituary = node.Name,
			node.Name
	}
	own, other := obituary(mine, "own", withNode), obituary(theirs, "other")
	shared.listed(t, node, own, other)
	token := shared.reader(t, mine, "ursula")

	if got := shared.visit(t, http.MethodGet, "/", token, nil); got.status != 200 ||
		!strings.Contains(got.body, `<a href="/?namespace=`+mine+`">`) ||
		strings.Contains(got.body, theirs) {
		t.Errorf("the namespaces to choose are\n%s", got.body)
	}
	if got := shared.visit(t, http.MethodGet, "/?namespace="+mine, token, nil); got.status != 200 ||
		!strings.Contains(got.body, ">"+mine+"/own</a>") {
		t.Errorf("the list is\n%s", got.body)
	}
	got := shared.visit(t, http.MethodGet, "/pods/"+mine+"/"+own.Name, token, nil)
	if got.status != 200 || !strings.Contains(got.body, `<p class="verdict unknown">`) ||
		strings.Contains(got.body, "which left at") || strings.Contains(got.body, "/nodes") {
		t.Errorf("the story, without the node's, is\n%s", got.body)
	}
	for _, path := range []string{"/?namespace=" + theirs, "/pods/" + theirs + "/" + other.Name,
		"/nodes", "/nodes/" + node.Name} {
		got := shared.visit(t, http.MethodGet, path, token, nil)
		if got.status != http.StatusForbidden || strings.Contains(got.body, "panicked") ||
			!strings.Contains(got.body, "You have no right to read this.") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if outcomes := shared.metricOf(t, "epitaph_page_requests_total", "outcome",
		"forbidden"); outcomes < 4 {
		t.Errorf("%v forbidden requests are counted, want 4 or more", outcomes)
	}
}

func TestPageOfAUserOfTheCluster(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node := panickedNode()
	died := obituary(namespace, "died", func(s *v1alpha1.PodObituarySpec) {
		s.NodeName,
			s.NodeObituary = node.Name, node.Name
	})
	shared.listed(t, node, died, obituary(namespace,
		"evicted", func(s *v1alpha1.PodObituarySpec) { s.Code, s.NodeName = "Evicted", "other" }))
	token := shared.clusterReader(t, namespace)

	tests := map[string]struct {
		path         string
		want, refuse []string
	}{
		"all of a namespace": {"/?namespace=" + namespace,
			[]string{">" + namespace + "/died</a>", ">" + namespace + "/evicted</a>",
				`<a href="/nodes">Nodes</a>`,
				`<a href="/?namespace=` + namespace + `">Show all</a>`,
				"<option>KernelPanic</option>"}, nil},
		"by code": {"/?namespace=" + namespace + "&code=Evicted",
			[]string{"/evicted</a>"}, []string{"/died</a>"}},
		"by node": {"/?node=" + node.Name, []string{"/died</a>"},
			[]string{"/evicted</a>"}},
		"by time": {"/?namespace=" + namespace + "&since=1h",
			[]string{"No records of pods match."}, []string{"/died</a>"}},
		"a pod": {"/pods/" + namespace + "/" + died.Name,
			[]string{`<a href="/nodes/` + node.Name + `">What happened to its node</a>`,
				`which left at <time datetime="2026-05-01T12:00:00Z">2026-05-01 12:00:00 UTC</time>`}, nil},
		"the nodes": {"/nodes?node=" + node.Name,
			[]string{`<a href="/nodes/` + node.Name + `">` + node.Name + "</a>"}, nil},
		"a node": {"/nodes/" + node.Name,
			[]string{"<pre>Kernel panic - not syncing: sysrq triggered crash\n</pre>",
				">" + namespace + "/died</a>"}, []string{"/evicted</a>"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := shared.visit(t, http.MethodGet, tc.path, token, nil)
			for _, want := range tc.want {
				if got.status != 200 || !strings.Contains(got.body, want) {
					t.Errorf("it lacks %q: %d\n%s", want, got.status, got.body)
				}
			}
			for _, refuse := range tc.refuse {
				if strings.Contains(got.body, refuse) {
					t.Errorf("it has %q:\n%s", refuse, got.body)
				}
			}
		})
	}
	for path, status := range map[string]int{
		"/?since=soon": 400, "/?class=bad": 400, "/pods/" + namespace + "/nobody": 404,
		"/nodes/nobody": 404, "/nothing": 404,
	} {
		if got := shared.visit(t, http.MethodGet, path, token, nil); got.status != status {
			t.Errorf("%s: %d, want %d", path, got.status, status)
		}
	}
}

func TestPageLogsInAndOut(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	token := shared.reader(t, namespace, "ursula")
	form := url.Values{"token": {"\n " + token + " "}}

	got := shared.visit(t, http.MethodPost, "/login", "", form)
	if got.status != http.StatusSeeOther || len(got.cookies) != 1 {
		t.Fatalf("the form is answered with %+v", got)
	}
	if c := got.cookies[0]; c.Name != "__Host-epitaph-token" || !c.Secure || !c.HttpOnly ||
		c.Path != "/" || c.Domain != "" || c.MaxAge != 0 || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("the cookie is %+v", c)
	}
	if got := shared.visit(t, http.MethodGet, "/?namespace="+namespace, "", nil,
		got.cookies...); got.status != 200 || !strings.Contains(got.body,
		"system:serviceaccount:"+namespace+":ursula") {
		t.Errorf("with the cookie: %d %s", got.status, got.body)
	}
	if got := shared.visit(t, http.MethodPost, "/logout", "", url.Values{},
		got.cookies...); len(got.cookies) != 1 || got.cookies[0].MaxAge >= 0 {
		t.Errorf("the cookie is not taken back: %+v", got)
	}
	if got := shared.visit(t, http.MethodPost,
		"/login", "", url.Values{"token": {"not-a-token"}}); got.status != 401 || len(
		got.cookies) != 0 || !strings.Contains(got.body,
		"The API server does not know this token, or it has expired.") {
		t.Errorf("a wrong token is answered with %+v", got)
	}
	if got := shared.visit(t, http.MethodPost,
		"/login", "", url.Values{"token": {strings.Repeat("x", 20000)}}); got.status != 400 {
		t.Errorf("too long a form is answered with %d", got.status)
	}
}

// A form of another site must not log a visitor in as somebody else.
func TestPageRefusesFormsOfOtherSites(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	r := shared.pageRequest(t, http.MethodPost,
		"/login", "", url.Values{"token": {shared.reader(t, namespace, "ursula")}})
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if got := shared.send(t, r); got.status != http.StatusForbidden || len(got.cookies) != 0 {
		t.Errorf("it is answered with %+v", got)
	}
}

func TestPageShowsHostileContentAndRunsNothing(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node, pod := hostileRecords(namespace)
	shared.listed(t, node, pod)
	token := shared.clusterReader(t, namespace)
	for _, path := range []string{"/?namespace=" + namespace, "/pods/" + namespace + "/" + pod.Name,
		"/jobs/" + namespace + "/hostile-job", "/?namespace=" + namespace + "&q=%3Cscript%3E",
		"/nodes?node=" + node.Name, "/nodes/" + node.Name} {
		got := shared.visit(t, http.MethodGet, path, token, nil)
		if got.status != 200 || !strings.Contains(got.body,
			"&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("%s: %d does not show it as text:\n%s", path, got.status, got.body)
		}
		if strings.Contains(got.body, "<script") ||
			strings.IndexFunc(strings.ReplaceAll(got.body, "\n", ""), obeyed) >= 0 {
			t.Errorf("%s: it is not escaped:\n%q", path, got.body)
		}
	}
	// What a visitor writes comes back as text, too.
	got := shared.visit(t, http.MethodGet, "/?namespace="+namespace+"&code="+
		url.QueryEscape(`"><script>alert(1)</script>`), token, nil)
	if got.status != 200 || strings.Contains(got.body, "<script") {
		t.Errorf("a parameter is not escaped:\n%s", got.body)
	}
}

// panickedNode is the record of a node with the last words of its kernel.
func panickedNode() *v1alpha1.NodeObituary {
	node := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: unique("gone")}}
	node.Spec = v1alpha1.NodeObituarySpec{
		NodeName: node.Name, NodeUID: "u", Removed: leftAt, Code: string(reason.KernelPanic),
		Class:  reason.Disruption.String(),
		Reason: "This node died unexpectedly because its kernel panicked! (sysrq triggered crash)",
		By:     "epitaph/netconsole", DeletedBy: "epitaph/netconsole",
		KernelLog: []string{"Kernel panic - not syncing: sysrq triggered crash"},
	}
	return node
}

// hostileRecords are a node and a pod whose every text is hostile.
func hostileRecords(namespace string) (*v1alpha1.NodeObituary, *v1alpha1.PodObituary) {
	node := &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: unique("hostile")}}
	node.Spec = v1alpha1.NodeObituarySpec{
		NodeName: node.Name, Removed: leftAt, Code: "KernelPanic", Class: "disruption",
		Reason: hostile, By: hostile, KernelLog: []string{hostile},
		Evidence: []v1alpha1.Evidence{{What: hostile[:64], Who: hostile, Detail: hostile,
			When: leftAt}},
	}
	pod := obituary(namespace, "victim", func(s *v1alpha1.PodObituarySpec) {
		s.Reason, s.By, s.Code, s.NodeObituary = hostile, hostile, "Odd\x1b[2J", node.Name
		s.Owners = []v1alpha1.Owner{{Kind: "K\x1b[1m", Name: hostile},
			{APIVersion: "batch/v1", Kind: "Job", Name: "hostile-job"},
			{Kind: "K\x1b[1m", Name: hostile}}
		s.Containers[0].Name, s.Containers[0].Reason = "m\x1b[1m", hostile
		s.Containers[0].State, s.Containers[0].ExitCode = v1alpha1.Exited, ptr.To(int32(1))
	})
	return node, pod
}
