package e2e

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// widths are those of a phone, a laptop and a large screen.
var widths = []int{400, 1280, 1600}

// frames is a document that shows pages in frames of these widths, one below the other: a window
// of Chromium is at least 500 pixels wide. Its script writes down the layout of each: the width of
// the window and of the content, what ends beyond the window or is cut off, and where the cells of
// the first row stand.
func frames(paths []string) string {
	var b strings.Builder
	b.WriteString(`<!doctype html><meta name="color-scheme" content="light dark">
<style>body { margin: 0 } iframe { display: block; border: 0 }</style>
`)
	for _, path := range paths {
		for _, width := range widths {
			fmt.Fprintf(&b, `<iframe width="%d" height="%d" src="%s"></iframe>`+"\n", width,
				frameHeight, html.EscapeString(path))
		}
	}
	b.WriteString(`<script>
function measure(frame) {
  const page = frame.contentDocument, inner = frame.contentWindow, beyond = [], cells = {};
  for (const e of page.body.querySelectorAll("*")) {
    const r = e.getBoundingClientRect();
    if (r.width && (r.right > inner.innerWidth + 0.5 || r.left < -0.5 ||
        e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible" &&
        e.tagName !== "PRE" && e.tagName !== "INPUT"))
      beyond.push(e.tagName + "." + e.className);
  }
  for (const c of page.querySelectorAll("table.records tbody tr:first-child td")) {
    const r = c.getBoundingClientRect();
    cells[c.className] = {X: r.left, Y: r.top, Width: r.width, Height: r.height};
  }
  return {Page: frame.getAttribute("src"), Title: page.title, Window: inner.innerWidth,
    Content: page.documentElement.scrollWidth, Beyond: beyond, Cells: cells};
}
addEventListener("load", () => document.documentElement.dataset.layouts =
  JSON.stringify([...document.querySelectorAll("iframe")].map(measure)));
</script>`)
	return b.String()
}

const frameHeight = 900

// A layout is what the script has found about one frame.
type layout struct {
	Page, Title     string
	Window, Content float64
	Beyond          []string
	Cells           map[string]struct{ X, Y, Width, Height float64 }
}

// framed serves a document with frames of the pages below the address of a proxy, and lets the
// browser frame them, which the page forbids.
func (c *cluster) framed(t *testing.T, token, body string) string {
	t.Helper()
	return c.proxy(t, token, func(r *http.Response) error {
		r.Header.Del("Content-Security-Policy")
		if r.Request.URL.Path != "/frames" {
			return nil
		}
		r.StatusCode = http.StatusOK
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		r.ContentLength, r.Body = int64(len(body)), io.NopCloser(strings.NewReader(body))
		return nil
	}) + "/frames"
}

func layoutsOf(t *testing.T, dom string) (found []layout) {
	t.Helper()
	_, text, _ := strings.Cut(dom, `data-layouts="`)
	text, _, _ = strings.Cut(text, `"`)
	if err := json.Unmarshal([]byte(html.UnescapeString(text)), &found); err != nil {
		t.Fatalf("nothing was measured: %v\n%s", err, dom)
	}
	return found
}

// On a phone, a laptop and a large screen, nothing is cut off however long the names are, and a
// phone shows the reason in its first row.
func TestPageAtEachWidth(t *testing.T) {
	t.Parallel()
	chromium(t)
	namespace := shared.namespace(t)
	long := strings.Repeat("a-very-long-name-", 13) + "end"
	node := panickedNode()
	node.Spec.NodeName = "ip-10-213-117-201." + strings.Repeat("eu-central-1.compute.", 4) + "internal"
	o := obituary(namespace, "named", func(s *v1alpha1.PodObituarySpec) {
		s.PodName, s.NodeName, s.NodeObituary = long, node.Spec.NodeName, node.Name
		s.Reason = "Evicted: " + strings.Repeat("x", 300) + " and " + s.Reason
		s.Owners = []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: long},
			{APIVersion: "argoproj.io/v1alpha1", Kind: "CronWorkflow", Name: long}}
	})
	second := obituary(namespace, "second", func(s *v1alpha1.PodObituarySpec) {
		s.Code, s.Removed = "Evicted", metav1.NewTime(leftAt.Add(-50*time.Hour))
	})
	shared.listed(t, node, o, second)
	paths := []string{"/?namespace=" + namespace, "/?namespace=" + namespace + "&owner=" + long,
		"/pods/" + namespace + "/" + o.Name, "/nodes?node=" + node.Spec.NodeName,
		"/nodes/" + node.Name, "/jobs/" + namespace + "/" + long}
	address := shared.framed(t, shared.clusterReader(t, namespace), frames(paths))
	pictures := os.Getenv("EPITAPH_LAYOUTS") // to be looked at
	size := "--window-size=1700," + strconv.Itoa(len(paths)*len(widths)*frameHeight)
	if pictures != "" {
		looks(t, address, filepath.Join(pictures, "layouts-dark.png"), size, dark)
		looks(t, address, filepath.Join(pictures, "layouts.png"), size)
	}
	dom := renders(t, address, size)
	layouts := layoutsOf(t, dom)
	if len(layouts) != len(paths)*len(widths) {
		t.Fatalf("%d layouts were measured", len(layouts))
	}
	for n, l := range layouts {
		if width := float64(widths[n%len(widths)]); l.Window != width || l.Content > width ||
			len(l.Beyond) > 0 || !strings.HasSuffix(l.Title, " · Epitaph") {
			t.Errorf("%s, %q: the window has %v of %v pixels, the content %v; cut off are %q",
				l.Page, l.Title, l.Window, width, l.Content, l.Beyond)
		}
		why, listed := l.Cells["reason"]
		if !listed {
			continue
		}
		if owner, ok := l.Cells["owner"]; ok && (why.Y > owner.Y || why.X > owner.X) {
			t.Errorf("%s, %v: the owner is before the reason: %+v", l.Page, l.Window, l.Cells)
		}
		if why.Width < 250 || l.Page == paths[0] && why.Y > 750 {
			t.Errorf("%s, %v: the reason cannot be read at a glance: %+v", l.Page, l.Window,
				l.Cells)
		}
	}
}
