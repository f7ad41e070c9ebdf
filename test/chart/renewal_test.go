//go:build linux

package chart

import (
	"bytes"
	"context"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/webhook"
)

// renews has the certificate that Helm has made near its end, and the replica that begins to renew
// it deleted: the other goes on, and no delete fails, though the webhook fails closed. An upgrade
// keeps the new one; a rollback to before asks for force, and brings the old one back.
func (c *cluster) renews(t *testing.T, made *x509.Certificate) {
	t.Helper()
	l := c.startLoad(t)
	c.nearsItsEnd(t)
	began := c.whoSays(t, "the serving certificate is being renewed")
	if len(c.secret(t, madeSecret).Data["next.crt"]) == 0 {
		t.Fatal("no certificate waits until the API server trusts it")
	}
	must(t, c.client.CoreV1().Pods(namespace).Delete(t.Context(), began, metav1.DeleteOptions{}))
	if ended := c.whoSays(t, "the serving certificate is renewed"); ended == began {
		t.Errorf("%s, which was deleted, has renewed it", began)
	}
	renewed := c.issued(t, madeSecret)
	if time.Until(renewed.NotAfter) < 80*24*time.Hour {
		t.Errorf("it is good until %v", renewed.NotAfter)
	}
	c.allServe(t, renewed)
	goesOn(t, l)
	l.stopUnharmed(t, "at the renewal of what Helm has made", true)
	must(t, c.verifies(t, renewed))

	c.helm(t, "upgrade", release, c.chart, "--namespace", namespace,
		"--reuse-values", "--set", "podAnnotations.rollout=renewed", "--wait", "--timeout=5m")
	if !c.issued(t, madeSecret).Equal(renewed) {
		t.Errorf("the upgrade has made another certificate")
	}
	rollback := []string{"rollback", release, "1", "--namespace", namespace, "--wait", "--timeout=5m"}
	if _, err := c.tryHelm(t, rollback...); err == nil || !strings.Contains(err.Error(), "conflict") {
		t.Errorf("without --force-conflicts, helm rollback ended with %v, want a conflict", err)
	}
	c.helm(t, append(rollback, "--force-conflicts")...)
	if !c.issued(t, madeSecret).Equal(made) {
		t.Errorf("the rollback has not brought the first certificate back")
	}
	c.allServe(t, made)
	must(t, c.verifies(t, made))
	c.denies(t, "rolled-back-to-made")
}

// nearsItsEnd puts a certificate that ends soon in the place of Helm's, once the API server trusts
// it.
func (c *cluster) nearsItsEnd(t *testing.T) {
	t.Helper()
	certificate, key := selfSigned(t, time.Now().Add(20*time.Minute))
	secret := c.secret(t, madeSecret)
	secret.Data["ca.crt"] = append(bytes.Clone(certificate), secret.Data["ca.crt"]...)
	authorities := secret.Data["ca.crt"]
	secrets := c.client.CoreV1().Secrets(namespace)
	_, err := secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
	eventually(t, "the API server trusts it", func(ctx context.Context) (bool, error) {
		registered, err := c.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx,
			webhook.ConfigurationName, metav1.GetOptions{})
		return err == nil && bytes.Equal(registered.Webhooks[0].ClientConfig.CABundle, authorities), err
	})
	secret = c.secret(t, madeSecret)
	secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey] = certificate, key
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{})
	must(t, err)
}

// whoSays waits until a replica has logged a message, and returns its name.
func (c *cluster) whoSays(t *testing.T, message string) (name string) {
	t.Helper()
	eventually(t, "a replica logs "+message, func(context.Context) (bool, error) {
		logs := c.logs(t)
		for _, p := range c.replicas(t) {
			if strings.Contains(logs[p.UID], `"msg":"`+message+`"`) {
				name = p.Name
			}
		}
		return name != "", nil
	})
	return name
}
