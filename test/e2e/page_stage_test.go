package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A visited is what the page answers.
type visited struct {
	status  int
	body    string
	header  http.Header
	cookies []*http.Cookie
}

// browser trusts the authority that signed the page's certificate, and follows no redirect.
func (c *cluster) browser() *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.RESTConfig().CAData)
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
			MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func (c *cluster) visit(t *testing.T, method, path, token string, form url.Values,
	cookies ...*http.Cookie) visited {
	t.Helper()
	return c.send(t, c.pageRequest(t, method, path, token, form, cookies...))
}

func (c *cluster) pageRequest(t *testing.T, method, path, token string, form url.Values,
	cookies ...*http.Cookie) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method,
		"https://"+c.Epitaph.Config.Page.Address+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	return r
}

func (c *cluster) send(t *testing.T, r *http.Request) visited {
	t.Helper()
	answer, err := c.browser().Do(r)
	if err != nil {
		t.Fatalf("visit %s: %v", r.URL, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("read %s: %v", r.URL, err)
	}
	return visited{answer.StatusCode, string(body), answer.Header, answer.Cookies()}
}

// listed makes records, and waits until the page lists them: it learns of them from a watch, in the
// order in which they are made.
func (c *cluster) listed(t *testing.T, objects ...client.Object) {
	t.Helper()
	c.record(t, objects...)
	for _, o := range slices.Backward(objects) {
		pod, ok := o.(*v1alpha1.PodObituary)
		if !ok {
			continue
		}
		token := c.reader(t, pod.Namespace, unique("waits"))
		path := "/?namespace=" + pod.Namespace + "&q=" + url.QueryEscape(pod.Spec.PodName)
		c.eventually(t, "the page lists "+pod.Name, func(context.Context) (bool, error) {
			return strings.Contains(c.visit(t, http.MethodGet, path, token, nil).body,
				`"/pods/`+pod.Namespace+"/"+pod.Name+`"`), nil
		})
		return
	}
}

// account makes a service account and returns a token of it and the name by which the API server
// knows it.
func (c *cluster) account(t *testing.T, namespace, name string) (token, user string) {
	t.Helper()
	accounts := c.client.CoreV1().ServiceAccounts(namespace)
	if _, err := accounts.Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}},
		metav1.CreateOptions{}); err != nil {
		t.Fatalf("create service account %s: %v", name, err)
	}
	made, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{},
		metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create a token of %s: %v", name, err)
	}
	return made.Status.Token, "system:serviceaccount:" + namespace + ":" + name
}

// reader returns a token of somebody who may read the records of one namespace.
func (c *cluster) reader(t *testing.T, namespace, name string) string {
	t.Helper()
	token, user := c.account(t, namespace, name)
	c.grant(t, namespace, user, v1alpha1.GroupVersion.Group, []string{"podobituaries"},
		[]string{"get", "list"})
	return token
}

// clusterReader returns a token of somebody who may read all records.
func (c *cluster) clusterReader(t *testing.T, namespace string) string {
	t.Helper()
	token, user := c.account(t, namespace, "auditor")
	c.grantIn(t, "", user, rbacv1.PolicyRule{
		APIGroups: []string{v1alpha1.GroupVersion.Group},
		Resources: []string{"podobituaries", "nodeobituaries"}, Verbs: []string{"get", "list"},
	})
	c.hasRight(t, user, "", v1alpha1.GroupVersion.Group, "nodeobituaries", "list")
	return token
}
