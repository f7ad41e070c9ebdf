//go:build linux

package chart

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/transport"

	"github.com/epitaph-k8s/epitaph/config"
)

// A monitor is what the chart's ServiceMonitor tells Prometheus of the manager.
type monitor struct {
	Spec struct {
		Endpoints []struct {
			Scheme          string `json:"scheme"`
			BearerTokenFile string `json:"bearerTokenFile"`
			Authorization   struct {
				Credentials corev1.SecretKeySelector `json:"credentials"`
			} `json:"authorization"`
			TLSConfig struct {
				ServerName         string `json:"serverName"`
				InsecureSkipVerify bool   `json:"insecureSkipVerify"`
				CA                 struct {
					Secret    corev1.SecretKeySelector    `json:"secret"`
					ConfigMap corev1.ConfigMapKeySelector `json:"configMap"`
				} `json:"ca"`
			} `json:"tlsConfig"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// monitored wants the ServiceMonitors to speak as the metrics are served, and to name a certificate
// that is there; the archive has its own, and its own alerts, where it is enabled.
func monitored(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	var kept corev1.ConfigMap
	if !into(t, objects, "ConfigMap", "epitaph-config", &kept) {
		t.Fatal("there is no configuration")
	}
	c := readConfig(t, kept.Data["config.yaml"])
	for _, kind := range []string{"ServiceMonitor", "PrometheusRule"} {
		manager := into(t, objects, kind, "epitaph", &struct{}{})
		if has := into(t, objects, kind, "epitaph-archive",
			&struct{}{}); has != (manager && c.Archive.Enabled) {
			t.Errorf("the archive has a %s: %t; it is enabled: %t, and the manager has one: %t", kind,
				has, c.Archive.Enabled, manager)
		}
	}
	for _, of := range []string{"epitaph", "epitaph-archive"} {
		var m monitor
		if into(t, objects, "ServiceMonitor", of, &m) {
			reads(t, objects, m, c)
		}
	}
}

// reads wants a ServiceMonitor to speak as the metrics are served.
func reads(t *testing.T, objects []*unstructured.Unstructured, m monitor, c config.Config) {
	t.Helper()
	for _, e := range m.Spec.Endpoints {
		https := e.Scheme == "https"
		token := e.BearerTokenFile + e.Authorization.Credentials.Name
		if https != c.Metrics.Secure || (token != "") != https {
			t.Errorf("the ServiceMonitor says %+v of metrics that are served as %+v", e, c.Metrics)
		}
		trusts := e.TLSConfig.CA.Secret.Name + e.TLSConfig.CA.ConfigMap.Name
		if https && (trusts == "") != e.TLSConfig.InsecureSkipVerify {
			t.Errorf("the ServiceMonitor trusts %+v", e.TLSConfig)
		}
		if name := e.TLSConfig.CA.ConfigMap.Name; name != "" &&
			!into(t, objects, "ConfigMap", name, &struct{}{}) {
			t.Errorf("nothing makes the ConfigMap %s, which the ServiceMonitor names", name)
		}
	}
}

// scraper reads the metrics as the chart's ServiceMonitor has Prometheus read them, with a service
// account that is bound to the chart's ClusterRole.
func (c *cluster) scraper(t *testing.T) *http.Client {
	t.Helper()
	var m monitor
	if !into(t, c.template(t, "--set=serviceMonitor.enabled=true"), "ServiceMonitor", "epitaph",
		&m) {
		t.Fatal("there is no ServiceMonitor")
	}
	says := m.Spec.Endpoints[0].TLSConfig
	return c.trusting(t, says.CA.Secret, says.ServerName)
}

// trusting reads the metrics, and trusts what the Secret has for the name of the server.
func (c *cluster) trusting(t *testing.T, ca corev1.SecretKeySelector, server string) *http.Client {
	t.Helper()
	secret, err := c.client.CoreV1().Secrets(namespace).Get(t.Context(), ca.Name,
		metav1.GetOptions{})
	must(t, err)
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(secret.Data[ca.Key]) {
		t.Fatalf("the Secret %s has no certificate under %s", ca.Name, ca.Key)
	}
	return &http.Client{Transport: transport.NewBearerAuthRoundTripper(c.prometheus(t),
		&http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			ServerName: server, RootCAs: trusted, MinVersion: tls.VersionTLS12}})}
}

// prometheus returns a token of an account that may read the metrics.
func (c *cluster) prometheus(t *testing.T) string {
	t.Helper()
	const name, role = "prometheus", "epitaph-metrics-reader"
	accounts := c.client.CoreV1().ServiceAccounts(metav1.NamespaceDefault)
	_, err := accounts.Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	_, err = c.client.RbacV1().ClusterRoleBindings().Create(t.Context(),
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name,
				Namespace: metav1.NamespaceDefault}},
		}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:serviceaccount:" + metav1.NamespaceDefault + ":" + name,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics",
			Verb: "get"},
	}}
	eventually(t, name+" may get /metrics", func(ctx context.Context) (bool, error) {
		answer, err := c.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review,
			metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
	token, err := accounts.CreateToken(t.Context(), name, &authenticationv1.TokenRequest{},
		metav1.CreateOptions{})
	must(t, err)
	return token.Status.Token
}
