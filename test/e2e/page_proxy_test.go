package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// knows waits until the API server has read the provider's keys, and knows that the owner of the
// token may list the records of a namespace: the page would keep a refusal for a while.
func (c *cluster) knows(t *testing.T, token, namespace string) {
	t.Helper()
	c.eventuallyWithin(t, 3*time.Minute, "the provider's token is believed",
		func(ctx context.Context) (bool, error) {
			review, err := c.client.AuthenticationV1().TokenReviews().Create(ctx,
				&authenticationv1.TokenReview{
					Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
			if err != nil || !review.Status.Authenticated {
				return false, err
			}
			asked, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx,
				&authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
					User: review.Status.User.Username, Groups: review.Status.User.Groups,
					ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list",
						Group: v1alpha1.GroupVersion.Group, Resource: "podobituaries",
						Namespace: namespace},
				}}, metav1.CreateOptions{})
			return err == nil && asked.Status.Allowed, err
		})
}

const sessionCookie = "_oauth2_proxy"

// oidcProxy does what oauth2-proxy does with --set-authorization-header before an Ingress: it keeps
// the ID token of each session, sends it on as Authorization, and sends nobody on without one. What
// a client says of itself is passed on, except for that header.
func (c *cluster) oidcProxy(t *testing.T, sessions map[string]string) string {
	t.Helper()
	next := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: c.Epitaph.Config.Page.Address})
			session, _ := r.In.Cookie(sessionCookie) // it was looked at below
			r.Out.Header.Set("Authorization", "Bearer "+sessions[session.Value])
		},
		Transport: c.browser().Transport,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if session, err := r.Cookie(sessionCookie); err != nil || sessions[session.Value] == "" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "the proxy's own login")
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// forgedIdentity are the headers by which proxies name users, to the API server and to others.
var forgedIdentity = map[string]string{
	"X-Remote-User": "admin", "X-Remote-Group": "system:masters",
	"X-Forwarded-User": "admin", "X-Forwarded-Groups": "system:masters",
	"X-Forwarded-Email": "admin@example.com", "X-Auth-Request-User": "admin",
	"X-Auth-Request-Groups": "system:masters", "Impersonate-User": "admin",
	"Impersonate-Group": "system:masters",
}

// A proxy signs people in at an OpenID provider, and passes their token on. They see what the API
// server lets them and the groups of their token see. Who says without a token who they are is
// nobody, and with one nobody else.
func TestPageBehindAProxyThatSignsIn(t *testing.T) {
	t.Parallel()
	mine, theirs := shared.namespace(t), shared.namespace(t)
	shared.listed(t, obituary(mine, "own"), obituary(theirs, "secret"))
	who, group := unique("ursula"), unique("batch")
	_, err := shared.client.RbacV1().RoleBindings(mine).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "readers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind,
			Name: sandbox.OfIssuer + group}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signed := func(key *rsa.PrivateKey, ends time.Time, groups ...string) string {
		token, err := provider.token(key, who, groups, ends)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := signed(provider.key, now.Add(time.Hour), group)
	address := shared.oidcProxy(t, map[string]string{"good": token,
		"forged":  signed(other, now.Add(time.Hour), "system:masters", group),
		"expired": signed(provider.key, now.Add(-time.Hour), group)})
	get := func(base, path, session, bearer string, forged bool) visited {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if session != "" {
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: session})
		}
		if bearer != "" {
			r.Header.Set("Authorization", "Bearer "+bearer)
		}
		for name, value := range forgedIdentity {
			if forged {
				r.Header.Set(name, value)
			}
		}
		return shared.send(t, r)
	}
	list := "/?namespace=" + mine
	shared.knows(t, token, mine)

	direct := "https://" + shared.Epitaph.Config.Page.Address
	for name, tc := range map[string]struct {
		base, path, session, bearer string
		forged                      bool
		status                      int
		want                        string
	}{
		"signed in":            {address, list, "good", "", false, 200, ">" + mine + "/own</a>"},
		"a name of the client": {address, list, "good", "", true, 200, sandbox.OfIssuer + who},
		"its groups":           {address, "/?namespace=" + theirs, "good", "", true, 403, ""},
		"a token of the client": {address, "/?namespace=" + theirs, "good",
			shared.clusterReader(t, mine), false, 403, ""},
		"no session":        {address, list, "", token, true, 401, "the proxy's own login"},
		"another key":       {address, list, "forged", "", false, 401, "does not know this token"},
		"expired":           {address, list, "expired", "", false, 401, "does not know this token"},
		"past the proxy":    {direct, list, "", "", true, 401, ""},
		"past it, by token": {direct, "/?namespace=" + theirs, "", token, true, 403, ""},
	} {
		got := get(tc.base, tc.path, tc.session, tc.bearer, tc.forged)
		if got.status != tc.status || !strings.Contains(got.body, tc.want) ||
			strings.Contains(got.body, "secret") || strings.Contains(got.body, ">admin<") {
			t.Errorf("%s: %d, want %d with %q\n%s", name, got.status, tc.status, tc.want, got.body)
		}
	}
}
