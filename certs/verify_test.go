package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// An authority signs certificates that last from an hour before noon to an hour after it.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	a := authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign, NotBefore: noon.AddDate(-1, 0, 0),
		NotAfter: noon.AddDate(1, 0, 0),
	}
	der := sign(t, template, template, a.key, a.key)
	a.certificate = parse(t, der)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a authority) issue(t *testing.T, host string) *tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{host},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore:   noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour),
	}
	der := sign(t, template, a.certificate, key, a.key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: parse(t, der)}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const host = "epitaph-webhook.epitaph-system.svc"

func registered(bundle []byte) *admissionregistrationv1.MutatingWebhookConfiguration {
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "epitaph"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "pods.epitaph-k8s.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				Service: &admissionregistrationv1.ServiceReference{Name: "epitaph-webhook",
					Namespace: "epitaph-system"},
				CABundle: bundle,
			},
		}},
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	good := ours.issue(t, host)
	byURL := registered(ours.pem)
	byURL.Webhooks[0].ClientConfig.Service = nil
	byURL.Webhooks[0].ClientConfig.URL = ptr.To("https://" + host + ":9443/admit")
	const webhook = "webhook pods.epitaph-k8s.io: "
	tests := map[string]struct {
		served     *tls.Certificate
		registered *admissionregistrationv1.MutatingWebhookConfiguration
		now        time.Time
		wantError  string
	}{
		"all is well":           {good, registered(ours.pem), noon, ""},
		"all is well, by a URL": {good, byURL, noon, ""},
		"an old authority beside the new one": {good,
			registered(append(theirs.pem[:len(theirs.pem):len(theirs.pem)], ours.pem...)), noon,
			""},
		"not valid yet": {
			good, registered(ours.pem), noon.Add(-2 * time.Hour),
			"the serving certificate is not valid before 2026-11-23T11:00:00Z: compare the clocks of the nodes",
		},
		"expired": {
			good, registered(ours.pem), noon.Add(2 * time.Hour),
			"the serving certificate has expired at 2026-11-23T13:00:00Z: renew it, and look at why it was not (kubectl describe certificate)",
		},
		"for another name": {
			ours.issue(t, "epitaph-webhook.default.svc"), registered(ours.pem), noon,
			webhook +
				"the serving certificate is not for epitaph-webhook.epitaph-system.svc: have it issued for this name",
		},
		"the bundle is not injected": {
			good, registered(nil), noon,
			webhook +
				"the webhook configuration has no caBundle: cert-manager's CA injector has not injected it yet, or does not run",
		},
		"the bundle is no PEM": {
			good, registered([]byte("Cg==")), noon,
			webhook + "the caBundle in the webhook configuration contains no PEM certificate",
		},
		"the bundle is another authority's": {
			good, registered(theirs.pem), noon,
			webhook +
				"the caBundle in the webhook configuration does not verify the serving certificate (x509: certificate signed by unknown authority): it is another authority's, or was not injected after that one changed",
		},
		"the configuration is empty": {
			good,
			&admissionregistrationv1.MutatingWebhookConfiguration{
				ObjectMeta: metav1.ObjectMeta{Name: "epitaph"}}, noon,
			"the webhook configuration epitaph is empty: reinstall the chart",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := Verify(tc.served, tc.registered, tc.now); err != nil {
				got = err.Error()
			}
			if got != tc.wantError {
				t.Errorf("got  %q\nwant %q", got, tc.wantError)
			}
		})
	}
}
