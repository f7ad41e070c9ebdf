package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// chromium is a real browser, or the end of the test: `make testtools` installs one.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: chromium is missing, so the page is not looked at in a browser: " +
		"run make testtools")
	return ""
}

// proxy stands before the page as an authenticating proxy would: it adds the token that a person
// got elsewhere.
func (c *cluster) proxy(t *testing.T, token string,
	change ...func(*http.Response) error) string {
	t.Helper()
	s := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: c.Epitaph.Config.Page.Address})
			r.Out.Header.Set("Authorization", "Bearer "+token)
		},
		Transport: shared.browser().Transport,
		ModifyResponse: func(r *http.Response) error {
			for _, f := range change {
				if err := f(r); err != nil {
					return err
				}
			}
			return nil
		},
	})
	t.Cleanup(s.Close)
	return s.URL
}

// renders opens an address in the browser, and returns the document as the browser has understood it.
func renders(t *testing.T, address string, flags ...string) (dom string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), chromium(t),
		// Of two flags of one name, the last counts.
		append(append([]string{"--headless", "--no-sandbox", "--disable-gpu",
			"--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
			"--disable-background-networking", "--disable-component-update",
			"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
			"--user-data-dir=" + t.TempDir(), "--window-size=1280,860", "--dump-dom"}, flags...),
			address)...)
	cmd.Dir = t.TempDir()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("look at %s: %v\n%s", address, err, errOut.String())
	}
	return out.String()
}

// looks is renders that also takes a picture of it.
func looks(t *testing.T, address, picture string, flags ...string) (dom string, seen image.Image) {
	t.Helper()
	dom = renders(t, address, append([]string{"--screenshot=" + picture}, flags...)...)
	file, err := os.Open(picture)
	if err != nil {
		t.Fatalf("look at %s: %v", address, err)
	}
	defer file.Close()
	if seen, err = png.Decode(file); err != nil {
		t.Fatal(err)
	}
	return dom, seen
}

// colours counts how many a picture has, up to a few: a page without its style sheet is black,
// white and blue, an empty one white.
func colours(seen image.Image) int {
	found := map[any]bool{}
	b := seen.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y += 2 {
		for x := b.Min.X; x < b.Max.X; x += 2 {
			found[seen.At(x, y)] = true
		}
	}
	return len(found)
}

func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	chromium(t)
	pictures := os.Getenv("EPITAPH_SCREENSHOTS")
	if pictures == "" {
		pictures = t.TempDir()
	}
	namespace, pod, node := research(t)
	token, list, story := shared.clusterReader(t, namespace), "/?namespace="+namespace,
		"/pods/"+namespace+"/"+pod
	address := shared.proxy(t, token)
	type picture struct {
		address, wants string
		flags          []string
	}
	all := map[string]picture{
		"page-pods": {address + list, ">" + namespace + "/train-7</a>", nil},
		"page-pod":  {address + story, "May it be run again?", nil},
		"page-node": {address + "/nodes/" + node, "RIP: 0010:sysrq_handle_crash+0x16/0x20", nil},
	}
	if os.Getenv("EPITAPH_SCREENSHOTS") != "" { // their layout is another test's
		all["page-phone"] = picture{shared.framed(t, token, phones(list, story)), "<iframe",
			[]string{"--window-size=824,860"}}
		all["page-dark"] = picture{address + list, ">" + namespace + "/train-7</a>", []string{dark}}
	}
	for name, tc := range all {
		t.Run(name, func(t *testing.T) {
			dom, seen := looks(t, tc.address, filepath.Join(pictures, name+".png"), tc.flags...)
			if !strings.Contains(dom, tc.wants) {
				t.Errorf("the browser does not show %q:\n%s", tc.wants, dom)
			}
			if n := colours(seen); n < 50 {
				t.Errorf(
					"the picture has %d colours: the page is empty, or its style sheet was refused",
					n)
			}
		})
	}
}

// phones is a document that shows pages side by side, as phones would.
func phones(paths ...string) string {
	body := `<!doctype html><style>body { margin: 0; display: flex; gap: 24px; background: #888 }
iframe { border: 0 }</style>`
	for _, path := range paths {
		body += fmt.Sprintf("<iframe width=%d height=860 src=%q></iframe>", widths[0], path)
	}
	return body
}

// dark has the browser ask for dark pages, as the system's setting would.
const dark = "--blink-settings=preferredColorScheme=0"

// Whoever prefers dark pages gets one, and can read it; nobody else does.
func TestPageInTheDark(t *testing.T) {
	t.Parallel()
	chromium(t)
	namespace := shared.namespace(t)
	address := shared.proxy(t, shared.clusterReader(t, namespace))
	for name, tc := range map[string]struct {
		flags []string
		light bool
	}{"light": {nil, true}, "dark": {[]string{dark}, false}} {
		dom, seen := looks(t, address+"/?namespace="+namespace, filepath.Join(t.TempDir(), "p.png"),
			tc.flags...)
		if !strings.Contains(dom, "No records of pods match.") {
			t.Errorf("%s: an empty list says nothing:\n%s", name, dom)
		}
		if paper := color.GrayModel.Convert(seen.At(seen.Bounds().Dx()/2, seen.Bounds().Dy()-20)).(color.Gray).Y; (paper > 200) != tc.light || paper > 60 && paper < 200 {
			t.Errorf("%s: the paper has the brightness %d of 255", name, paper)
		}
	}
}

// Had the template not escaped it, the browser would have run it, and the title would say so.
func TestPageInABrowserRunsNothing(t *testing.T) {
	t.Parallel()
	chromium(t)
	namespace := shared.namespace(t)
	attack := `<script>document.title="owned"</script><img src=x onerror='document.title="owned"'>`
	o := obituary(namespace, "victim", func(s *v1alpha1.PodObituarySpec) {
		s.Reason, s.By = attack,
			attack
	})
	shared.listed(t, o)
	address := shared.proxy(t, shared.clusterReader(t, namespace))
	for _, path := range []string{"/?namespace=" + namespace, "/pods/" + namespace + "/" + o.Name} {
		dom := renders(t, address+path)
		if !strings.Contains(dom, " · Epitaph</title>") || strings.Contains(dom, "<img") ||
			!strings.Contains(dom, "&lt;script&gt;") {
			t.Errorf("%s: the browser obeyed:\n%s", path, dom)
		}
	}
}

// research is a namespace as one might find it after a bad day, for pictures.
func research(t *testing.T) (namespace, pod, node string) {
	t.Helper()
	namespace = unique("research")
	if _, err := shared.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n := panickedNode()
	// a second before its pod
	n.Spec.NodeName, n.Spec.Removed = "node-5", metav1.NewTime(leftAt.Add(-61*time.Second))
	n.Spec.KernelLog = []string{
		"sysrq: Trigger a crash", "Kernel panic - not syncing: sysrq triggered crash",
		"CPU: 1 PID: 812 Comm: bash Not tainted 6.1.0-37-cloud-amd64 #1  Debian 6.1.140-1",
		"Call Trace:", " <TASK>", " dump_stack_lvl+0x44/0x5c", " panic+0x118/0x2ed",
		" sysrq_handle_crash+0x16/0x20", " __handle_sysrq.cold+0x76/0x1ac",
		"RIP: 0010:sysrq_handle_crash+0x16/0x20",
		"---[ end Kernel panic - not syncing: sysrq triggered crash ]---",
	}
	job := []v1alpha1.Owner{{APIVersion: "batch/v1", Kind: "Job", Name: "train", UID: "j"}}
	minutes := 0
	left := func(code reason.Code, detail, by, node string, owners []v1alpha1.Owner,
		ends ...v1alpha1.ContainerEnd) func(*v1alpha1.PodObituarySpec) {
		minutes++
		when := metav1.NewTime(leftAt.Add(-time.Duration(minutes*minutes) * time.Minute))
		return func(s *v1alpha1.PodObituarySpec) {
			s.Removed = when
			s.Code, s.Class, s.By, s.NodeName, s.Owners = string(code), code.Class().String(), by,
				node, owners
			s.Reason = string(reason.New(reason.Pod, code, detail, by).Text)
			if ends != nil {
				s.Containers = ends
			}
		}
	}
	train := obituary(namespace, "train-7", left(reason.KernelPanic,
		"sysrq triggered crash", "epitaph/netconsole", "node-5", job), func(
		s *v1alpha1.PodObituarySpec) {
		s.NodeObituary = n.Name
	})
	shared.listed(t, n, train,
		obituary(namespace, "index-0", left(reason.HardwareFailure,
			"ReadonlyFilesystem: FilesystemIsReadOnly",
			"system:serviceaccount:kube-system:node-controller", "node-2",
			[]v1alpha1.Owner{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "index"}})),
		obituary(namespace, "report-x", left(reason.Preempted,
			namespace+"/hotfix", "system:kube-scheduler", "node-1", nil,
			v1alpha1.ContainerEnd{Name: "main", State: v1alpha1.NeverStarted,
				Reason: "ContainerCreating"})),
		obituary(namespace, "notebook", left(reason.UserRequest,
			"the experiment is over", "alice", "node-1", nil,
			v1alpha1.ContainerEnd{Name: "main", State: v1alpha1.Exited, ExitCode: ptr.To(int32(0)),
				Finished: &startAt})),
		obituary(namespace, "scraper", left(reason.Unexplained, "carol", "carol", "node-3", nil)))
	return namespace, train.Name, n.Name
}
