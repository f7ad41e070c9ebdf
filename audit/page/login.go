package page

import (
	"net/http"
	"strings"
)

// maxFormBytes bounds the form: it has one field.
const maxFormBytes = maxTokenBytes + 1024

// loginView is what the form shows. A visitor of it is not known yet.
type loginView struct {
	Visitor string
	Says    string
}

func (p *Page) form(w http.ResponseWriter, _ *http.Request) error {
	return render(w, http.StatusOK, "login.html", loginView{})
}

// login keeps the token in a cookie that only this host gets back, only by HTTPS, and no script can read.
func (p *Page) login(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		return errRefused
	}
	token := strings.TrimSpace(r.PostForm.Get("token"))
	if strings.ContainsFunc(token, notOfACookie) {
		return errAnonymous
	}
	if _, err := p.desk.visitor(r.Context(), token); err != nil {
		return err
	}
	http.SetCookie(w, cookie(token, 0))
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// notOfACookie finds what a cookie cannot hold; no token has it (RFC 6750, section 2.1).
func notOfACookie(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`",;\`, r) }

func (p *Page) logout(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, cookie("", -1))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// cookie holds a token until the browser is closed. It goes with links from elsewhere, but with no form of another site.
func cookie(token string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: token, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func (p *Page) style(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "max-age=3600")
	http.ServeFileFS(w, r, files, "templates/style.css")
	return nil
}
