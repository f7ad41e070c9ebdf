package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
)

// Verify returns why the API server would not accept the certificate for one of the configuration's
// webhooks.
func Verify(served *tls.Certificate,
	registered *admissionregistrationv1.MutatingWebhookConfiguration, now time.Time) error {
	if err := valid(served.Leaf, now); err != nil {
		return err
	}
	if len(registered.Webhooks) == 0 {
		return fmt.Errorf("the webhook configuration %s is empty: reinstall the chart",
			registered.Name)
	}
	for _, w := range registered.Webhooks {
		if err := accepted(served, w.ClientConfig, now); err != nil {
			return fmt.Errorf("webhook %s: %w", w.Name, err)
		}
	}
	return nil
}

func valid(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf(
			"the serving certificate is not valid before %s: compare the clocks of the nodes",
			at(leaf.NotBefore))
	case now.After(leaf.NotAfter):
		return fmt.Errorf(
			"the serving certificate has expired at %s: renew it, and look at why it was not (kubectl describe certificate)", at(leaf.NotAfter))
	default:
		return nil
	}
}

// accepted does what the API server does with the certificate when it calls the webhook.
func accepted(served *tls.Certificate, call admissionregistrationv1.WebhookClientConfig,
	now time.Time) error {
	host, err := hostOf(call)
	if err != nil {
		return err
	}
	if served.Leaf.VerifyHostname(host) != nil {
		return fmt.Errorf("the serving certificate is not for %s: have it issued for this name",
			host)
	}
	if len(call.CABundle) == 0 {
		return errors.New(
			"the webhook configuration has no caBundle: cert-manager's CA injector has not injected it yet, or does not run")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(call.CABundle) {
		return errors.New("the caBundle in the webhook configuration contains no PEM certificate")
	}
	_, err = served.Leaf.Verify(x509.VerifyOptions{
		DNSName: host, Roots: roots, Intermediates: intermediates(served), CurrentTime: now,
	})
	if err != nil {
		return fmt.Errorf(
			"the caBundle in the webhook configuration does not verify the serving certificate (%w): it is another authority's, or was not injected after that one changed", err)
	}
	return nil
}

// hostOf is the name by which the API server calls: for a Service that in the cluster's DNS,
// without the cluster's domain (k8s.io/apiserver/pkg/util/webhook: clientConfigForService sets it
// as the TLS server name).
func hostOf(call admissionregistrationv1.WebhookClientConfig) (string, error) {
	if s := call.Service; s != nil {
		return s.Name + "." + s.Namespace + ".svc", nil
	}
	if call.URL == nil {
		return "", errors.New("the webhook configuration names neither a Service nor a URL")
	}
	u, err := url.Parse(*call.URL)
	if err != nil {
		return "", fmt.Errorf("read the URL in the webhook configuration: %w", err)
	}
	return u.Hostname(), nil
}

func intermediates(served *tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, der := range served.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }
