package page

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// A handler answers a request, or returns an error before it has written anything.
type handler func(http.ResponseWriter, *http.Request) error

// open serves everybody. A request counts towards maxVisitors only while we work on it: what a
// visitor sends is read before, and the answer is sent afterwards, however slow the visitor is.
func (p *Page) open(h handler) http.Handler { return p.openTo(maxFormBytes, h) }

// openTo is open for a form of so many bytes.
func (p *Page) openTo(most int64, h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := readForm(w, r, most); err != nil {
			p.end(w, r, err)
			return
		}
		answer := &answer{header: w.Header(), status: http.StatusOK}
		select {
		case p.seats <- struct{}{}:
			func() {
				defer func() { <-p.seats }()
				p.end(answer, r, h(answer, r))
			}()
		default:
			p.end(answer, r, errBusy)
		}
		answer.send(w)
	})
}

// readForm reads the body of a form, if the request has one.
func readForm(w http.ResponseWriter, r *http.Request, most int64) error {
	r.Body = http.MaxBytesReader(w, r.Body, most)
	if r.Method == http.MethodPost && r.ParseForm() != nil {
		return errRefused
	}
	return nil
}

// An answer is a response that has not been sent yet.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// send sends it. It is no error if the visitor has gone.
func (a *answer) send(w http.ResponseWriter) {
	w.WriteHeader(a.status)
	_, _ = a.body.WriteTo(w)
}

// forVisitors serves visitors known to the API server, and sends others to the form.
func (p *Page) forVisitors(h func(http.ResponseWriter, visit) error) http.Handler {
	return p.open(p.known(h))
}

// known answers visitors known to the API server.
func (p *Page) known(h func(http.ResponseWriter, visit) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		user, err := p.desk.visitor(r.Context(), tokenOf(r))
		if err != nil {
			return err
		}
		g := &guard{reader: p.Reader, kept: p.Records,
			rights: &rights{reviews: p.reviews, user: user}}
		nodes, err := g.rights.may(r.Context(), listNodes())
		if err != nil {
			return err
		}
		return h(w, visit{Request: r, name: user.Username, nodes: nodes,
			archive: p.Archive != nil, guard: g, Finder: lookup.Finder{Reader: g}})
	}
}

// end counts the outcome of a request, and shows it if nothing has been shown.
func (p *Page) end(w http.ResponseWriter, r *http.Request, err error) {
	o := outcomeOf(err)
	p.requests.WithLabelValues(o.name).Inc()
	switch o.name {
	case shown.name:
		return
	case "anonymous":
		if r.Method == http.MethodGet && tokenOf(r) == "" {
			o.says = ""
		}
		p.say(w, o, "login.html", newLoginView(o.says))
		return
	case "failed":
		p.Log.Error(err, "request failed", "path", r.URL.Path)
	}
	p.say(w, o, "error.html", errorView{frame{Title: "Not shown"}, o.says})
}

func (p *Page) say(w http.ResponseWriter, o outcome, name string, view any) {
	if err := render(w, o.status, name, view); err != nil {
		p.Log.Error(err, "nothing can be shown")
		w.WriteHeader(o.status)
	}
}

type errorView struct {
	frame
	Says string
}

// render writes a whole page or, if its template fails, nothing.
func render(w http.ResponseWriter, status int, name string, view any) error {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, view); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}
