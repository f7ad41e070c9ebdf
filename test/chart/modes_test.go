//go:build linux

package chart

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/certs"
)

// corporateIssuer installs with an issuer that the cluster has. At first it cannot issue: the
// replicas wait, and deletions do not.
func corporateIssuer(t *testing.T, c *cluster) {
	must(t, c.client.CoreV1().Secrets(namespace).Delete(t.Context(), issuedSecret,
		metav1.DeleteOptions{}))
	c.applies(t, `
apiVersion: cert-manager.io/v1
kind: ClusterIssuer
metadata: {name: corporate}
spec: {ca: {secretName: corporate-ca}}
`)
	c.helm(t, "install", release, c.chart, "--namespace", namespace,
		"--set", "certificates.issuer.name=corporate")
	eventually(t, "cert-manager says that it has not issued",
		func(ctx context.Context) (bool, error) {
			o := named(certificates, namespace, "epitaph-webhook")
			if err := c.objects.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return false, err
			}
			conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
			return len(conditions) > 0, err
		})
	l := c.startLoad(t)
	goesOn(t, l)
	l.stopUnharmed(t, "while no certificate was issued", false)
	for _, p := range c.replicas(t) {
		if p.Status.Phase != corev1.PodPending {
			t.Errorf("%s is %s without a certificate", p.Name, p.Status.Phase)
		}
	}

	certificate, key := signedByItself(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "corporate"}, IsCA: true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(1, 0, 0),
	})
	c.keeps(t, "cert-manager", "corporate-ca",
		map[string][]byte{corev1.TLSCertKey: certificate, corev1.TLSPrivateKeyKey: key})
	c.serving(t, "corporate")
	must(t, c.verifies(t, c.issued(t, issuedSecret)))
	c.allTell(t, "epitaph-webhook", 1)
	examined(t, c)
	c.uninstalls(t)
}

// ownCertificate installs with a certificate that cert-manager knows nothing of.
func ownCertificate(t *testing.T, c *cluster) {
	certificate, key := selfSigned(t, time.Now().Add(time.Hour))
	c.keeps(t, namespace, "mine", map[string][]byte{corev1.TLSCertKey: certificate,
		corev1.TLSPrivateKeyKey: key, "ca.crt": certificate})
	c.helm(t, "install", release, c.chart, "--namespace", namespace,
		"--set", "certificates.secret=mine", "--wait", "--timeout=3m")
	c.serving(t, "own")
	must(t, c.verifies(t, c.issued(t, "mine")))
	reader := c.trusting(t, corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{
		Name: "mine"}, Key: "ca.crt"}, serverName)
	for _, p := range c.replicas(t) {
		if strings.Contains(metrics(t, reader, p.Status.PodIP), certs.MetricReady) {
			t.Errorf("%s tells of Certificates, and there are none", p.Name)
		}
	}
	examined(t, c)
	c.uninstalls(t)
	c.issued(t, "mine") // it is its owner's, and stays
}

// keeps writes a certificate and its key into a Secret.
func (c *cluster) keeps(t *testing.T, namespace, name string, data map[string][]byte) {
	t.Helper()
	_, err := c.client.CoreV1().Secrets(namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Type: corev1.SecretTypeTLS, Data: data,
	}, metav1.CreateOptions{})
	must(t, err)
}

// serving waits for both replicas, and has one of them deny.
func (c *cluster) serving(t *testing.T, pod string) {
	t.Helper()
	eventually(t, "the Service has both replicas",
		func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
	c.denies(t, pod)
}
