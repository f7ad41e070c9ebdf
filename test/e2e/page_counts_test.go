package e2e

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// Above a list stands a drawing of what it has, with its filters and of no other namespace.
func TestPageCountsByCause(t *testing.T) {
	t.Parallel()
	mine, theirs := shared.namespace(t), shared.namespace(t)
	left := func(code string, hours int) func(*v1alpha1.PodObituarySpec) {
		return func(s *v1alpha1.PodObituarySpec) {
			s.Code = code
			s.Removed = metav1.NewTime(leftAt.Add(-time.Duration(hours) * time.Hour))
		}
	}
	shared.listed(t, obituary(mine, "a", left("KernelPanic", 0)),
		obituary(mine, "b", left("KernelPanic", 0)), obituary(mine, "c", left("Evicted", 30)),
		obituary(mine, "d", left("</desc><script>alert(1)</script>", 31)),
		obituary(theirs, "e", left("Preempted", 2)), obituary(theirs, "f", left("Preempted", 3)))
	token := shared.reader(t, mine, "ursula")

	list := "/?namespace=" + mine
	shared.shows(t, token, list, []string{
		`<desc id="counts-text">From 2026-04-30 05:00:00 to 2026-05-01 13:00:00 UTC, a column for ` +
			`each 1 hour. At most 2 left in one. In all: KernelPanic 2, Evicted 1, ` +
			`other causes 1.</desc>`,
		`<a href="/?code=KernelPanic&amp;namespace=` + mine + `">KernelPanic</a> 2</li>`,
		`<td>1</td><td>other causes 1</td>`,
	}, []string{"Preempted</a>", "Preempted 2", "<script"})
	shared.shows(t, token, list+"&code=KernelPanic",
		[]string{"In all: KernelPanic 2.</desc>"}, []string{"Evicted 1"})
	// Of one record there is nothing to draw.
	shared.shows(t, token, list+"&code=Evicted", []string{"1 to 1 of 1"}, []string{"<svg"})
	all := shared.clusterReader(t, mine)
	shared.shows(t, all, "/?namespace="+theirs, []string{"In all: Preempted 2.</desc>"},
		[]string{"KernelPanic 2"})
}

// A visitor's own time stands beside UTC once they have chosen a zone, on each page.
func TestPageInATimeZone(t *testing.T) {
	t.Parallel()
	namespace := shared.namespace(t)
	node := panickedNode()
	o := obituary(namespace, "one", func(s *v1alpha1.PodObituarySpec) {
		s.NodeName, s.NodeObituary = node.Name, node.Name
	})
	shared.listed(t, node, o)
	token := shared.clusterReader(t, namespace)
	list := "/?namespace=" + namespace

	shared.shows(t, token, list, []string{
		`<a class="zone" href="/zone?back=%2f%3fnamespace%3d` + namespace + `">UTC</a>`,
		`Left (UTC)</th>`}, []string{`class="local"`})
	shared.shows(t, token, "/zone?back="+url.QueryEscape(list), []string{
		`<input type="hidden" name="back" value="` + list + `">`,
		`<optgroup label="Asia">`, `<option>Asia/Kolkata</option>`}, nil)
	chosen := shared.visit(t, http.MethodPost, "/zone", token,
		url.Values{"zone": {"Asia/Kolkata"}, "back": {list}})
	if chosen.status != http.StatusSeeOther || chosen.header.Get("Location") != list ||
		len(chosen.cookies) != 1 {
		t.Fatalf("the choice is answered with %+v", chosen)
	}
	local := `<time class="local" datetime="2026-05-01T17:30:00+05:30">17:30:00 IST</time>`
	inText := `2026-05-01 12:00:00 UTC</time> (<time datetime="2026-05-01T17:30:00+05:30">17:30:00 IST</time>)`
	for path, want := range map[string]string{
		list: local, "/nodes?node=" + node.Name: local,
		"/pods/" + namespace + "/" + o.Name: inText, "/nodes/" + node.Name: inText,
		"/zone": "<option selected>Asia/Kolkata</option>",
	} {
		got := shared.visit(t, http.MethodGet, path, token, nil, chosen.cookies...)
		if got.status != http.StatusOK || !strings.Contains(html.UnescapeString(got.body), want) {
			t.Errorf("%s lacks %q: %d\n%s", path, want, got.status, got.body)
		}
	}

	for _, zone := range []string{"../../../etc/passwd", "<script>", "", "Local"} {
		got := shared.visit(t, http.MethodPost, "/zone", token, url.Values{"zone": {zone}})
		if got.status != http.StatusBadRequest || len(got.cookies) != 0 ||
			strings.Contains(got.body, "<script") {
			t.Errorf("%q is answered with %+v", zone, got)
		}
	}
	for _, back := range []string{"//evil.example", "https://evil.example/"} {
		got := shared.visit(t, http.MethodPost, "/zone", token,
			url.Values{"zone": {"UTC"}, "back": {back}})
		if got.header.Get("Location") != "/" {
			t.Errorf("back to %s leads to %+v", back, got)
		}
	}
}
