package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// What follows if callers need not authenticate, and what to do about it.
const (
	heardByAll = "anybody who reaches its port is believed, not the API server alone. They delete nothing, but may have a reason of their own on a " +
		"pod or node that lives, until webhook.leftoverAfter and a minute have passed. "
	hearNobodyElse = "Set webhookClients (in the chart) and have the API server show a certificate, or let only the API server reach the port: docs/webhook.md, Who may ask"
)

// webhookCallers finds out whose requests the webhook accepts. The best evidence is what happens to
// a caller without a certificate, if the webhook can be reached from here; else its configuration
// says so.
func webhookCallers(ctx context.Context, p *patient) []Diagnosis {
	const what = "webhook callers"
	if p.off {
		return nil
	}
	c, err := p.configuration(ctx)
	switch {
	case err == nil:
		return []Diagnosis{c.callers()}
	case !apierrors.IsNotFound(err):
		return []Diagnosis{{Unseen, what, err.Error()}}
	case len(p.webhooks) == 0 || p.webhooks[0].ClientConfig.URL == nil:
		return []Diagnosis{{Unseen, what, "there is no ConfigMap " + p.system + "/" +
			configMapName +
			", which would say whether they have to show a certificate (webhook.clientCA)"}}
	}
	return []Diagnosis{calledBare(ctx, *p.webhooks[0].ClientConfig.URL,
		p.webhooks[0].ClientConfig.CABundle)}
}

// callers judges whose requests the webhook accepts by its configuration.
func (c managerConfig) callers() Diagnosis {
	const what = "webhook callers"
	switch {
	case c.Webhook.ClientCA == "":
		return Diagnosis{Dubious, what, heardByAll + hearNobodyElse}
	case len(c.Webhook.ClientNames) == 0:
		return Diagnosis{Well, what,
			"whoever has a certificate that webhook.clientCA signs. Where that signs for others than the API server, set webhookClients.names"}
	default:
		return Diagnosis{Well, what,
			"who has a certificate that webhook.clientCA signs, by the name of " +
				strings.Join(c.Webhook.ClientNames, " or ")}
	}
}

// calledBare looks whether the webhook hears somebody who shows no certificate. What is asked is no
// review, and changes nothing.
func calledBare(ctx context.Context, address string, bundle []byte) Diagnosis {
	const what = "webhook callers"
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	// To a client of TLS 1.3 a handshake seems to succeed before the server has looked at its
	// certificate: it learns of that later.
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots,
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	u, err := url.Parse(address)
	if err != nil {
		return Diagnosis{Broken, what, "the configuration's URL: " + err.Error()}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return Diagnosis{Broken, what, "the configuration's URL: " + err.Error()}
	}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err == nil {
		answer.Body.Close()
		return Diagnosis{Dubious, what, heardByAll + hearNobodyElse}
	}
	if strings.Contains(err.Error(), "remote error: tls") {
		return Diagnosis{Well, what,
			"those alone who show a certificate of its choice: without one, TLS turns you away"}
	}
	return Diagnosis{Unseen, what, "not seen from here: " + err.Error()}
}
