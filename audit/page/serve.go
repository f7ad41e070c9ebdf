package page

import (
	"bytes"
	"fmt"
	"net/http"
)

// A handler answers a request, or says why not before it has written anything.
type handler func(http.ResponseWriter, *http.Request) error

// open serves everybody.
func (p *Page) open(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case p.seats <- struct{}{}:
			defer func() { <-p.seats }()
			p.end(w, r, h(w, r))
		default:
			p.end(w, r, errBusy)
		}
	})
}

// forVisitors serves who is known to the API server, and sends others to the form.
func (p *Page) forVisitors(h func(http.ResponseWriter, visit) error) http.Handler {
	return p.open(func(w http.ResponseWriter, r *http.Request) error {
		user, err := p.desk.visitor(r.Context(), tokenOf(r))
		if err != nil {
			return err
		}
		rights := &rights{reviews: p.Authorizer, known: p.allowed, user: user}
		return h(w, visit{Request: r, name: user.Username, rights: rights, Finder: p.finder(rights)})
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

// render writes a whole page or, where its template fails, nothing of it. That the visitor has gone meanwhile is no error.
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
