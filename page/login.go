package page

import (
	"net/http"
	"strings"
)

// maxFormBytes bounds a form, whose largest field is a token.
const maxFormBytes = maxTokenBytes + 1024

// loginView is what the form shows. Its visitor is not known yet.
type loginView struct {
	frame
	Says string
}

func newLoginView(says string) loginView { return loginView{frame{Title: "Log in"}, says} }

func (p *Page) form(w http.ResponseWriter, _ *http.Request) error {
	return render(w, http.StatusOK, "login.html", newLoginView(""))
}

// login keeps the token in a cookie that browsers send to this host only, by HTTPS only, and that
// no script can read.
func (p *Page) login(w http.ResponseWriter, r *http.Request) error {
	token := strings.TrimSpace(r.PostForm.Get("token"))
	if strings.ContainsFunc(token, notOfACookie) {
		return errAnonymous
	}
	if _, err := p.desk.visitor(r.Context(), token); err != nil {
		return err
	}
	setToken(w, r, token)
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// notOfACookie finds what a cookie cannot hold; no token has it (RFC 6750, section 2.1).
func notOfACookie(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`",;\`, r) }

func (p *Page) logout(w http.ResponseWriter, r *http.Request) error {
	setToken(w, r, "")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// setToken keeps the token in as many cookies as it takes, and deletes the browser's others.
func setToken(w http.ResponseWriter, r *http.Request, token string) {
	for n := range maxCookies {
		part := token[:min(len(token), maxCookieBytes)]
		token = token[len(part):]
		if part != "" {
			http.SetCookie(w, cookie(cookieOf(n), part, 0))
		} else if _, err := r.Cookie(cookieOf(n)); err == nil {
			http.SetCookie(w, cookie(cookieOf(n), "", -1))
		}
	}
}

// cookie lasts until the browser is closed. Browsers send it when a link elsewhere is followed, but
// not with another site's forms.
func cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}

func (p *Page) style(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "max-age=3600")
	http.ServeFileFS(w, r, files, "templates/style.css")
	return nil
}
