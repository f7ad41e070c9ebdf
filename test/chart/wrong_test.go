//go:build linux

package chart

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/webhook"
)

// injectFrom asks cert-manager for the bundle.
const injectFrom = "cert-manager.io/inject-ca-from"

// wrong has the certificate be wrong in each way that the API server would not accept, and wants
// every replica's log to say so.
func wrong(t *testing.T, c *cluster) {
	longAgo := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, w := range []struct {
		name, want   string
		spoil, amend func(t *testing.T)
	}{
		{
			name:  "the bundle is not injected",
			want:  "webhook pods.epitaph-k8s.io: the webhook configuration has no caBundle: cert-manager's CA injector has not injected it yet, or does not run",
			spoil: func(t *testing.T) { c.setBundle(t, nil) }, amend: c.injectAgain,
		},
		{
			name: "the bundle is another authority's",
			want: "webhook pods.epitaph-k8s.io: the caBundle in the webhook configuration does not verify the serving certificate (x509: certificate signed by unknown authority): it is another authority's, or was not injected after that one changed",
			spoil: func(t *testing.T) {
				certificate, _ := selfSigned(t, time.Now().Add(time.Hour))
				c.setBundle(t, certificate)
			},
			amend: c.injectAgain,
		},
		{
			name:  "issued for another name",
			want:  "webhook pods.epitaph-k8s.io: the serving certificate is not for epitaph-webhook.epitaph-system.svc: have it issued for this name",
			spoil: func(t *testing.T) { c.issueFor(t, "epitaph-webhook.elsewhere.svc") },
			amend: func(t *testing.T) { c.issueFor(t, serverName) },
		},
		{
			name: "expired",
			want: "the serving certificate has expired at " + longAgo.UTC().Format(time.RFC3339) +
				": renew it, and look at why it was not (kubectl describe certificate)" +
				" (Certificate epitaph-webhook: not issued: there is no such Certificate in namespace epitaph-system: reinstall the chart)",
			spoil: func(t *testing.T) {
				// Who renews it does so no more.
				must(t, c.objects.Delete(t.Context(),
					named(certificates, namespace, "epitaph-webhook")))
				certificate, key := selfSigned(t, longAgo)
				c.writeSecret(t, certificate, key)
			},
			amend: func(t *testing.T) {
				c.helm(t, "upgrade", release, c.chart, "--namespace", namespace,
					"--reuse-values", "--wait", "--timeout=3m")
			},
		},
	} {
		t.Run(w.name, func(t *testing.T) {
			before := c.logs(t)
			w.spoil(t)
			c.allSay(t, before, "not ready", w.want)
			before = c.logs(t)
			w.amend(t)
			c.allSay(t, before, "ready again", "")
			eventually(t, "the Service has both replicas",
				func(ctx context.Context) (bool, error) { return len(c.endpoints(ctx)) == 2, nil })
		})
	}
}

// logs are what the replicas have logged so far.
func (c *cluster) logs(t *testing.T) map[types.UID]string {
	t.Helper()
	logs := map[types.UID]string{}
	for _, p := range c.replicas(t) {
		for _, k := range c.kubelets {
			if process := k.Process(p.UID); process != nil {
				log, err := os.ReadFile(process.LogPath)
				must(t, err)
				logs[p.UID] = string(log)
			}
		}
	}
	return logs
}

// allSay waits until every replica has logged the message, with that error.
func (c *cluster) allSay(t *testing.T, before map[types.UID]string, message, fault string) {
	t.Helper()
	if len(before) != 2 {
		t.Fatalf("%d replicas log, want 2", len(before))
	}
	eventually(t, `every replica logs "`+message+`" `+fault, func(context.Context) (bool, error) {
		for replica, log := range c.logs(t) {
			if !says(t, strings.TrimPrefix(log, before[replica]), message, fault) {
				return false, nil
			}
		}
		return true, nil
	})
}

func says(t *testing.T, log, message, fault string) bool {
	t.Helper()
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Probe, Error string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == message &&
			(entry.Probe == "" || entry.Probe == "certificate") && entry.Error == fault {
			return true
		}
	}
	return false
}

// setBundle takes the bundle out of cert-manager's hands.
func (c *cluster) setBundle(t *testing.T, bundle []byte) {
	t.Helper()
	registrations := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	registered, err := registrations.Get(t.Context(), webhook.ConfigurationName,
		metav1.GetOptions{})
	must(t, err)
	delete(registered.Annotations, injectFrom)
	for i := range registered.Webhooks {
		registered.Webhooks[i].ClientConfig.CABundle = bundle
	}
	_, err = registrations.Update(t.Context(), registered, metav1.UpdateOptions{})
	must(t, err)
}

func (c *cluster) injectAgain(t *testing.T) {
	t.Helper()
	annotate := []byte(`{"metadata":{"annotations":{"` + injectFrom + `":"` + namespace +
		`/epitaph-webhook"}}}`)
	_, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(),
		webhook.ConfigurationName, types.MergePatchType, annotate, metav1.PatchOptions{})
	must(t, err)
}

// issueFor has cert-manager issue the certificate anew, for that name.
func (c *cluster) issueFor(t *testing.T, name string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"dnsNames":["`+name+`"]}}`))
	must(t, c.objects.Patch(t.Context(), named(certificates, namespace, "epitaph-webhook"), patch))
}

func (c *cluster) writeSecret(t *testing.T, certificate, key []byte) {
	t.Helper()
	secrets := c.client.CoreV1().Secrets(namespace)
	secret, err := secrets.Get(t.Context(), issuedSecret, metav1.GetOptions{})
	must(t, err)
	secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey] = certificate, key
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
}

// selfSigned is a certificate for the webhook's name, and its key, in PEM.
func selfSigned(t *testing.T, until time.Time) (certificate, key []byte) {
	t.Helper()
	return signedByItself(t, &x509.Certificate{SerialNumber: big.NewInt(1),
		DNSNames: []string{serverName}, NotBefore: until.Add(-24 * time.Hour), NotAfter: until})
}

func signedByItself(t *testing.T, template *x509.Certificate) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}
