package e2e

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

var (
	older   = regexp.MustCompile(`<a rel="next" href="([^"]*)">Older</a>`)
	podLink = regexp.MustCompile(`<td class="name"><a href="/pods/[^"]*">([^<]*)</a>`)
)

// pages follows the links to older records, and returns the pods of each page.
func (c *cluster) pages(t *testing.T, token, path string) (pods [][]string) {
	t.Helper()
	for range 10 {
		got := c.visit(t, http.MethodGet, path, token, nil)
		if got.status != http.StatusOK {
			t.Fatalf("%s: %d\n%s", path, got.status, got.body)
		}
		var names []string
		for _, found := range podLink.FindAllStringSubmatch(got.body, -1) {
			names = append(names, found[1])
		}
		pods = append(pods, names)
		next := older.FindStringSubmatch(got.body)
		if next == nil {
			return pods
		}
		path = html.UnescapeString(next[1])
	}
	t.Fatal("there is always an older page")
	return nil
}

// The newest come first, however many chunks the API server needs to list them by name; search and
// filters hold on each page, and nothing of another namespace is ever among them.
func TestPageAfterPage(t *testing.T) {
	t.Parallel()
	mine, theirs := shared.namespace(t), shared.namespace(t)
	const n = 520 // more than one chunk
	var want []string
	records := shared.records(t)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for i := range n {
		// By time, they have another order than by name.
		pod := fmt.Sprintf("p-%03d", i*389%n)
		want = append(want, mine+"/"+pod)
		o := obituary(mine, pod, func(s *v1alpha1.PodObituarySpec) {
			s.Removed = metav1.NewTime(leftAt.Add(-time.Duration(i) * time.Minute))
			if i%2 == 0 {
				s.Owners = []v1alpha1.Owner{{Kind: "Job", APIVersion: "batch/v1", Name: "even"}}
			}
			if i == n-1 {
				s.Reason = "The oldest, in which a NEEDLE is lost."
			}
		})
		group.Go(func() error { return records.Create(ctx, o) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	shared.listed(t, obituary(theirs, "p-theirs", func(s *v1alpha1.PodObituarySpec) {
		s.Owners = []v1alpha1.Owner{{Kind: "Job", APIVersion: "batch/v1", Name: "even"}}
	}))
	token := shared.reader(t, mine, "ursula")

	pages := shared.pages(t, token, "/?namespace="+mine)
	if len(pages) != 6 || !slices.Equal(slices.Concat(pages...), want) {
		t.Errorf("%d pages, in another order: %q", len(pages), pages)
	}
	for _, path := range []string{"/?namespace=" + mine + "&q=job/EVEN",
		"/?namespace=" + mine + "&owner=Job/even", "/jobs/" + mine + "/even"} {
		if pages := shared.pages(t, token, path); len(pages) != 3 ||
			len(slices.Concat(pages...)) != n/2 {
			t.Errorf("%s: %q", path, pages)
		}
	}
	if pages := shared.pages(t, token, "/?namespace="+mine+"&q=needle"); len(pages) != 1 ||
		!slices.Equal(pages[0], want[n-1:]) {
		t.Errorf("the search finds %q", pages)
	}
	second := shared.shows(t, token, "/?namespace="+mine+"&after="+
		leftAt.Add(-99*time.Minute).UTC().Format(time.RFC3339)+","+mine+"/zzz",
		[]string{"101 to 200 of 520", `<a href="/?namespace=` + mine + `">Newest</a>`}, nil)
	if strings.Contains(second, theirs) {
		t.Errorf("a page has another namespace:\n%s", second)
	}
	for path, status := range map[string]int{
		"/?namespace=" + theirs + "&after=2026-05-01T12:00:00Z," + mine + "/p": 403,
		"/?namespace=" + theirs + "&q=p":                                       403,
		"/?namespace=" + theirs + "&owner=Job/even":                            403,
		"/jobs/" + theirs + "/even":                                            403,
		"/?namespace=" + mine + "&after=yesterday":                             400,
	} {
		if got := shared.visit(t, http.MethodGet, path, token, nil); got.status != status ||
			strings.Contains(got.body, "p-theirs") {
			t.Errorf("%s: %d, want %d\n%s", path, got.status, status, got.body)
		}
	}
}
