package page

import (
	"bytes"
	"fmt"
	"net/http"
)

// A handler answers a request, or says why not before it has written anything.
type handler func(http.ResponseWriter, *http.Request) error

// open serves everybody. Only what we do takes a seat, never what a visitor does: what they send
// was read before, and they are sent their answer afterwards, however slow they are.
func (p *Page) open(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := readForm(w, r); err != nil {
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

// readForm reads the body of a form, which has one field; a request without one has none to be
// read.
func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if r.Method == http.MethodPost && r.ParseForm() != nil {
		return errRefused
	}
	return nil
}

// An answer is one that has not been sent yet.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// send sends it. That the visitor has gone meanwhile is no error.
func (a *answer) send(w http.ResponseWriter) {
	w.WriteHeader(a.status)
	_, _ = a.body.WriteTo(w)
}

// forVisitors serves who is known to the API server, and sends others to the form.
func (p *Page) forVisitors(h func(http.ResponseWriter, visit) error) http.Handler {
	return p.open(func(w http.ResponseWriter, r *http.Request) error {
		user, err := p.desk.visitor(r.Context(), tokenOf(r))
		if err != nil {
			return err
		}
		rights := &rights{reviews: p.Authorizer, known: p.allowed, user: user}
		return h(w, visit{Request: r, name: user.Username, rights: rights,
			Finder: p.finder(rights)})
	})
}

// end counts how a request ended, and says so where nothing has been shown.
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
		p.say(w, o, "login.html", loginView{Says: o.says})
		return
	case "failed":
		p.Log.Error(err, "request failed", "path", r.URL.Path)
	}
	p.say(w, o, "error.html", errorView{Says: o.says})
}

func (p *Page) say(w http.ResponseWriter, o outcome, name string, view any) {
	if err := render(w, o.status, name, view); err != nil {
		p.Log.Error(err, "nothing can be shown")
		w.WriteHeader(o.status)
	}
}

type errorView struct {
	Visitor string
	Says    string
}

// render writes a whole page or, where its template fails, nothing of it.
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
