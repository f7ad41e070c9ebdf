package page

import (
	"context"
	"embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// Options are what a page works with.
type Options struct {
	// Reader reads from the API server itself: the records are selected by fields.
	Reader client.Reader
	// Namespaces lists the names of namespaces, from a cache.
	Namespaces func(context.Context) ([]string, error)
	Reviewer   Reviewer
	Authorizer Authorizer
	Clock      clock.PassiveClock
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Page serves the records.
type Page struct {
	Options
	desk     *desk
	allowed  *cache.LRUExpireCache
	requests *prometheus.CounterVec
	seats    chan struct{}
	handler  http.Handler
}

// maxVisitors bounds how many requests are worked on at once: each may read many records.
const maxVisitors = 16

//go:embed templates
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"clean": func(s string) string { return string(reason.Clean(s)) },
	"at":    func(t metav1.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
	"last":  story.LastOwner,
	"codes": reason.Codes,
}).ParseFS(files, "templates/*.html"))

// New returns a page.
func New(o Options) (*Page, error) {
	p := &Page{
		Options: o, seats: make(chan struct{}, maxVisitors),
		desk: &desk{reviews: o.Reviewer, known: cache.NewLRUExpireCacheWithClock(maxBelieved,
			o.Clock)},
		allowed: cache.NewLRUExpireCacheWithClock(maxBelieved, o.Clock),
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
	mux.Handle("GET /nodes", p.forVisitors(p.nodes))
	mux.Handle("GET /nodes/{name}", p.forVisitors(p.node))
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
// frame, no copy on disk.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	"X-Content-Type-Options":  "nosniff",
	"Referrer-Policy":         "no-referrer",
	"Cache-Control":           "no-store",
}

// A visit is one request of somebody who is known.
type visit struct {
	*http.Request
	name   string
	rights *rights
	lookup.Finder
}

// finder reads with the rights of the visitor.
func (p *Page) finder(r *rights) lookup.Finder {
	return lookup.Finder{Reader: &guard{reader: p.Reader, rights: r}}
}

// cut bounds a parameter: no name in Kubernetes is longer.
func cut(s string) string { return strings.TrimSpace(s[:min(len(s), maxParameterBytes)]) }

const maxParameterBytes = 253
