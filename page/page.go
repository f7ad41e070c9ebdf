package page

import (
	"context"
	"embed"
	"html/template"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/internal/access"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// Options are the settings and collaborators of a page.
type Options struct {
	// Reader reads from the API server, not from a cache, since it selects records by fields.
	Reader client.Reader
	// Records are those of pods, for lists.
	Records *Records
	// Namespaces lists the names of namespaces, from a cache.
	Namespaces func(context.Context) ([]string, error)
	// Archive returns where what has left the cluster is asked about, without anybody's
	// credentials; nil while there is none. It may be nil itself.
	Archive    func(context.Context) (*ask.Client, error)
	Reviewer   Reviewer
	Authorizer access.Reviewer
	Clock      clock.PassiveClock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Page serves the records.
type Page struct {
	Options
	desk     *desk
	reviews  *access.Reviews
	requests *prometheus.CounterVec
	seats    chan struct{}
	// longReads are the visits that read many records.
	longReads chan struct{}
	handler   http.Handler
}

// maxVisitors bounds the requests that are served at once: each may read many records.
const maxVisitors = 16

//go:embed templates
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"clean": func(s string) string { return string(reason.Clean(s)) },
	"codes": reason.Codes,
}).ParseFS(files, "templates/*.html"))

// New returns a page.
func New(o Options) (*Page, error) {
	p := &Page{
		Options: o, seats: make(chan struct{}, maxVisitors),
		longReads: make(chan struct{}, maxLongReads),
		desk: &desk{reviews: o.Reviewer, known: cache.NewLRUExpireCacheWithClock(maxBelieved,
			o.Clock)},
		reviews: access.NewReviews(o.Authorizer, o.Clock, maxBelieved, believedFor),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "epitaph_page_requests_total", Help: "Requests to the page, by how they ended.",
		}, []string{"outcome"}),
	}
	if err := o.Registerer.Register(p.requests); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", p.forVisitors(p.pods))
	mux.Handle("GET /pods/{namespace}/{name}", p.forVisitors(p.pod))
	mux.Handle("GET /jobs/{namespace}/{name}", p.forVisitors(p.job))
	mux.Handle("GET /nodes", p.forVisitors(p.nodes))
	mux.Handle("GET /nodes/{name}", p.forVisitors(p.node))
	mux.Handle("GET /archive", p.forVisitors(p.archiveList(archive.PodKind)))
	mux.Handle("GET /archive/nodes", p.forVisitors(p.archiveList(archive.NodeKind)))
	mux.Handle("GET /archive/history", p.forVisitors(p.history))
	mux.Handle("GET /archive/replay", p.forVisitors(p.replayForm))
	mux.Handle("POST /archive/replay", p.openTo(maxReplayBytes, p.known(p.replay)))
	mux.Handle("GET /zone", p.forVisitors(p.zones))
	mux.Handle("POST /zone", p.forVisitors(p.setZone))
	mux.Handle("GET /login", p.open(p.form))
	mux.Handle("POST /login", p.open(p.login))
	mux.Handle("POST /logout", p.open(p.logout))
	mux.Handle("GET /style.css", p.open(p.style))
	mux.Handle("/", p.open(func(http.ResponseWriter, *http.Request) error { return errMissing }))
	// A form of another site must not log a visitor in or out.
	p.handler = http.NewCrossOriginProtection().Handler(mux)
	return p, nil
}

// ServeHTTP answers one request.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, value := range headers {
		header.Set(name, value)
	}
	p.handler.ServeHTTP(w, r)
}

// headers let a browser load our style sheet and send our forms, and nothing else: no script, no
// frame, no cached copy.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	"X-Content-Type-Options":  "nosniff",
	"Referrer-Policy":         "no-referrer",
	"Cache-Control":           "no-store",
}

// A visit is one request of an authenticated visitor.
type visit struct {
	*http.Request
	name string
	// nodes is set if the visitor may list the records of nodes.
	nodes bool
	// archive is set if there is one to ask.
	archive bool
	*guard
	lookup.Finder
}

// frame is what the page about something with that title shows around its content.
func (v visit) frame(title string) frame {
	f := frame{Visitor: v.name, Title: title, Nodes: v.nodes, Archive: v.archive,
		zone: zoneOf(v.Request)}
	if v.Method == http.MethodGet {
		f.Here = localAddress(v.URL.RequestURI())
	}
	return f
}

// cut bounds a parameter: no name in Kubernetes is longer.
func cut(s string) string { return cutTo(s, maxParameterBytes) }

// cutTo bounds a parameter, and leaves out what cannot be seen: it is shown in the form, and no
// name has it.
func cutTo(s string, limit int) string {
	return strings.TrimSpace(strings.Map(seen, s[:min(len(s), limit)]))
}

// seen drops control and format characters, and what is no UTF-8.
func seen(r rune) rune {
	if r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
		return -1
	}
	return r
}

const maxParameterBytes = 253
