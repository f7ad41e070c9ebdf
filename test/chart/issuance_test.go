//go:build linux

package chart

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/certs"
)

const (
	metricsPort = "8080"
	inOrder     = "the Certificate is ready again"
	outOfOrder  = "the Certificate is not ready"
)

// issuance has cert-manager say something else of the serving certificate each time, and wants
// every replica to tell it. The certificate that is there stays good: no replica stops serving.
func issuance(t *testing.T, c *cluster) {
	c.allTell(t, "epitaph-webhook", 1)
	c.allTell(t, "epitaph-ca", 1)
	c.renewsInTime(t)

	t.Run("an issuer that cannot issue", func(t *testing.T) {
		before := c.logs(t)
		c.applies(t, issuerWithoutSecret)
		c.issueBy(t, "without-secret")
		c.allSay(t, before, outOfOrder,
			"not issued: IncorrectIssuer: Issuing certificate as Secret was previously issued by \"Issuer.cert-manager.io/epitaph-ca\"")
		c.allTell(t, "epitaph-webhook", 0)
		c.allTell(t, "epitaph-ca", 1)
		c.denies(t, "not-issued")
		before = c.logs(t)
		c.issueBy(t, "epitaph-ca")
		c.allSay(t, before, inOrder, "")
		c.allTell(t, "epitaph-webhook", 1)
	})
	t.Run("without the right to look", func(t *testing.T) {
		bindings := c.client.RbacV1().RoleBindings(namespace)
		right, err := bindings.Get(t.Context(), "epitaph-certificates", metav1.GetOptions{})
		must(t, err)
		before := c.logs(t)
		must(t, bindings.Delete(t.Context(), right.Name, metav1.DeleteOptions{}))
		c.allSay(t, before, outOfOrder,
			`cannot be read: certificates.cert-manager.io "epitaph-webhook" is forbidden: User "system:serviceaccount:epitaph-system:epitaph-manager" cannot get resource "certificates" in API group "cert-manager.io" in the namespace "epitaph-system"`)
		c.allTell(t, "epitaph-webhook", -1)
		c.denies(t, "not-looked-at")
		before = c.logs(t)
		right.ResourceVersion, right.UID = "", ""
		_, err = bindings.Create(t.Context(), right, metav1.CreateOptions{})
		must(t, err)
		c.allSay(t, before, inOrder, "")
		c.allTell(t, "epitaph-webhook", 1)
	})
}

// issuerWithoutSecret waits for an authority that nobody gives it.
const issuerWithoutSecret = `
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: without-secret, namespace: ` + namespace + `}
spec: {ca: {secretName: nobody-made-it}}
`

// issueBy has another issuer issue the serving certificate.
func (c *cluster) issueBy(t *testing.T, issuer string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType,
		[]byte(`{"spec":{"issuerRef":{"name":"`+issuer+`"}}}`))
	must(t, c.objects.Patch(t.Context(), named(certificates, namespace, "epitaph-webhook"), patch))
}

// allTell waits until every replica's metric is so.
func (c *cluster) allTell(t *testing.T, certificate string, want float64) {
	t.Helper()
	line := fmt.Sprintf("%s{name=%q} %v\n", certs.MetricReady, certificate, want)
	reader := c.scraper(t)
	eventually(t, "every replica has the metric "+line, func(context.Context) (bool, error) {
		for _, p := range c.replicas(t) {
			if !strings.Contains(metrics(t, reader, p.Status.PodIP), line) {
				return false, nil
			}
		}
		return true, nil
	})
}

// renewsInTime compares the time of the renewal with what the chart asks for: a month before the
// end.
func (c *cluster) renewsInTime(t *testing.T) {
	t.Helper()
	want := c.issued(t, issuedSecret).NotAfter.Add(-30 * 24 * time.Hour)
	line := fmt.Sprintf("%s{name=%q} %v\n", certs.MetricRenewal,
		"epitaph-webhook", float64(want.Unix()))
	reader := c.scraper(t)
	for _, p := range c.replicas(t) {
		if got := metrics(t, reader, p.Status.PodIP); !strings.Contains(got, line) {
			t.Errorf("%s does not have the metric %s", p.Name, line)
		}
	}
}

func metrics(t *testing.T, reader *http.Client, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"https://"+net.JoinHostPort(address, metricsPort)+"/metrics", nil)
	must(t, err)
	response, err := reader.Do(request)
	must(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return string(text)
}
