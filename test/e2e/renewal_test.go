package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/certs"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/webhook"
)

const (
	helmsSecret = "epitaph-webhook-helm"
	managerName = "system:serviceaccount:" + ourNamespace + ":epitaph-manager"
)

// A certificate that ends soon is renewed by the leader, with the chart's rights, while others
// delete: the API server trusts the new authority before a replica serves its certificate, so that
// no deletion fails, although the webhook fails closed.
func TestRenewal(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			k.Webhook.RenewedSecret = helmsSecret
			k.Webhook.FailurePolicy = config.FailClosed
		}}})
	if err := c.Grant(t.Context(), "renewal.yaml"); err != nil {
		t.Fatal(err)
	}
	authority, certificate, key := endingSoon(t)
	dir := c.Epitaph.Config.Webhook.CertDir
	c.trusts(t, authority)
	mounts(t, dir, certificate, key)
	c.eventually(t, "the ending certificate is served", func(context.Context) (bool, error) {
		return c.serves(t).Subject.CommonName == "ending", nil
	})
	secrets := c.client.CoreV1().Secrets(ourNamespace)
	if _, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: helmsSecret}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key,
			"ca.crt": authority},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	ns, deleted := c.namespace(t), 0
	c.eventuallyWithin(t, 3*time.Minute, "a new certificate is served",
		func(ctx context.Context) (bool, error) {
			secret, err := secrets.Get(ctx, helmsSecret, metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			if string(secret.Data[corev1.TLSCertKey]) != string(certificate) {
				certificate = secret.Data[corev1.TLSCertKey]
				mounts(t, dir, certificate, secret.Data[corev1.TLSPrivateKeyKey])
			}
			name := fmt.Sprintf("p%d", deleted)
			c.create(t, podSpec(ns, "nowhere", name))
			c.remove(t, c.as(t, runner), ns, name) // fails the test if the webhook is not trusted
			deleted++
			return time.Until(c.serves(t).NotAfter) > 80*24*time.Hour, nil
		})
	t.Logf("%d deletions meanwhile", deleted)

	secret, err := secrets.Get(t.Context(), helmsSecret, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(secret.Data) != 3 {
		t.Errorf("the Secret has %d entries, want the certificate, its key and the authorities",
			len(secret.Data))
	}
	bundle := string(secret.Data["ca.crt"])
	if strings.Count(bundle, "BEGIN CERTIFICATE") != 2 || !strings.HasSuffix(bundle,
		string(authority)) {
		t.Errorf("trusted are\n%s\nwant a new authority, and the old one after it", bundle)
	}
	registered, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(
		t.Context(), webhook.ConfigurationName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range registered.Webhooks {
		if string(w.ClientConfig.CABundle) != bundle {
			t.Errorf("webhook %s trusts another bundle than the Secret's", w.Name)
		}
	}
	served := c.serves(t)
	if err := certs.Verify(&tls.Certificate{Certificate: [][]byte{served.Raw}, Leaf: served},
		registered, time.Now()); err != nil {
		t.Errorf("what is served: %v", err)
	}
	c.changesOnlyTheBundle(t)
}

// changesOnlyTheBundle tries what else the right to renew would let the manager change.
func (c *cluster) changesOnlyTheBundle(t *testing.T) {
	t.Helper()
	manager := c.clientFor(t, c.As(managerName, "system:serviceaccounts",
		"system:serviceaccounts:"+ourNamespace, "system:authenticated"))
	configurations := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	type registration = admissionregistrationv1.MutatingWebhookConfiguration
	for what, change := range map[string]func(*registration){
		"a failure policy": func(r *registration) {
			r.Webhooks[0].FailurePolicy = ptr.To(admissionregistrationv1.Ignore)
		},
		"the number": func(r *registration) { r.Webhooks = r.Webhooks[1:] },
		"where one is": func(r *registration) {
			r.Webhooks[0].ClientConfig.URL = ptr.To("https://192.0.2.1/admit")
		},
		"what matches": func(r *registration) {
			r.Webhooks[0].ObjectSelector = &metav1.LabelSelector{
				MatchLabels: map[string]string{"a": "b"}}
		},
		"a label": func(r *registration) { r.Labels = map[string]string{"a": "b"} },
	} {
		object, err := configurations.Get(t.Context(), webhook.ConfigurationName,
			metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(object)
		_, err = manager.AdmissionregistrationV1().MutatingWebhookConfigurations().Update(
			t.Context(), object, metav1.UpdateOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(),
			"ValidatingAdmissionPolicy 'epitaph-renewal'") {
			t.Errorf("the manager changes %s: %v, want it to be forbidden by the policy", what, err)
		}
	}
	if _, err := manager.CoreV1().Secrets(ourNamespace).Get(t.Context(), "another",
		metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the manager reads another Secret: %v", err)
	}
}

// trusts has the API server trust an authority besides those that it does.
func (c *cluster) trusts(t *testing.T, authority []byte) {
	t.Helper()
	configurations := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	registered, err := configurations.Get(t.Context(), webhook.ConfigurationName,
		metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range registered.Webhooks {
		call := &registered.Webhooks[i].ClientConfig
		call.CABundle = append(call.CABundle, authority...)
	}
	if _, err := configurations.Update(t.Context(), registered,
		metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// serves is the certificate that the replica shows.
func (c *cluster) serves(t *testing.T) *x509.Certificate {
	t.Helper()
	connection, err := tls.Dial("tcp", c.Epitaph.Config.Webhook.Address,
		&tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is what is looked at
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0]
}

// mounts does what the kubelet does with a Secret that has changed.
func mounts(t *testing.T, dir string, certificate, key []byte) {
	t.Helper()
	for name, content := range map[string][]byte{"tls.crt": certificate, "tls.key": key} {
		next := filepath.Join(dir, "."+name)
		if err := os.WriteFile(next, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// endingSoon is a certificate for the sandbox's address with less than a third of its life left.
func endingSoon(t *testing.T) (authority, certificate, key []byte) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	from, to := time.Now().Add(-2*time.Hour), time.Now().Add(30*time.Minute)
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "epitaph-ca"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, NotBefore: from,
		NotAfter: to}
	caKey, leafKey := newKey(), newKey()
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	authority = block("CERTIFICATE", der, err)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ending"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: from, NotAfter: to,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err = x509.CreateCertificate(rand.Reader, leaf, ca, leafKey.Public(), caKey)
	certificate = block("CERTIFICATE", der, err)
	der, err = x509.MarshalECPrivateKey(leafKey)
	return authority, certificate, block("EC PRIVATE KEY", der, err)
}
