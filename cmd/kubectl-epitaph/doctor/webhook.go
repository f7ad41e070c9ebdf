package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	// configurationName is the webhook configuration's (webhook.ConfigurationName; a test compares
	// them).
	configurationName = "epitaph"
	// late is the share of a certificate's life that is left when it is worth a look: cert-manager
	// renews at a third.
	late = 0.25
)

// webhookConfiguration looks at what the API server has been told: to ask whom, about what, and
// whom to trust.
func webhookConfiguration(ctx context.Context, p *patient) []Diagnosis {
	const what = "webhook configuration"
	c := &admissionregistrationv1.MutatingWebhookConfiguration{}
	err := p.Get(ctx, client.ObjectKey{Name: configurationName}, c)
	switch {
	case apierrors.IsNotFound(err):
		return []Diagnosis{p.unregistered(ctx)}
	case err != nil:
		return []Diagnosis{{Unseen, what, err.Error()}}
	case len(c.Webhooks) == 0:
		return []Diagnosis{{Broken, what, "it is empty: reinstall the chart"}}
	}
	p.webhooks = c.Webhooks
	if service := c.Webhooks[0].ClientConfig.Service; service != nil && !p.told {
		p.system = service.Namespace
	}
	all := append(p.webhooks.registered(), p.webhooks.trusted(p.serverTime())...)
	if first := c.Webhooks[0].ClientConfig; first.URL != nil {
		return append(all, p.certificateAt(ctx, *first.URL, first.CABundle))
	}
	return append(all, Diagnosis{Unseen, "webhook certificate",
		"only the API server can reach the service: the next line says whether it trusts it; when the certificate ends is in its Secret"})
}

// configMapName is the chart's, which holds the configuration in configKey.
const (
	configMapName = "epitaph-config"
	configKey     = "config.yaml"
)

// unregistered tells whether there is no webhook configuration because the webhook is switched off.
func (p *patient) unregistered(ctx context.Context) Diagnosis {
	const what = "webhook configuration"
	if c, err := p.configuration(ctx); err == nil && c.webhookOff() {
		p.off = true
		return Diagnosis{Dubious, what,
			"there is none, as webhook.enabled says (false): the API server does not call Epitaph when something is deleted"}
	}
	return Diagnosis{Broken, what,
		"there is none: the API server does not call Epitaph when something is deleted. Install the chart, or switch the webhook on"}
}

// A managerConfig is the part of the manager's configuration that the doctor reads.
type managerConfig struct {
	Webhook struct {
		Enabled     *bool    `json:"enabled"`
		ClientCA    string   `json:"clientCA"`
		ClientNames []string `json:"clientNames"`
	} `json:"webhook"`
}

// configuration returns the configuration that the manager was installed with.
func (p *patient) configuration(ctx context.Context) (c managerConfig, err error) {
	m := &corev1.ConfigMap{}
	if err := p.Get(ctx, client.ObjectKey{Namespace: p.system, Name: configMapName},
		m); err != nil {
		return c, err
	}
	if c, err = readManagerConfig(m.Data[configKey]); err != nil {
		return c, fmt.Errorf("read ConfigMap %s/%s: %w", p.system, configMapName, err)
	}
	return c, nil
}

func readManagerConfig(file string) (c managerConfig, err error) {
	err = yaml.Unmarshal([]byte(file), &c)
	return c, err
}

func (c managerConfig) webhookOff() bool { return !ptr.Deref(c.Webhook.Enabled, true) }

// authorities judges the certificates that the API server trusts for the webhook.
func authorities(bundle []byte, now time.Time) Diagnosis {
	const what = "webhook caBundle"
	if len(bundle) == 0 {
		return Diagnosis{Dubious, what,
			"is empty: the webhook's certificate must be signed by an authority that the API server's machine trusts. Has cert-manager injected it?"}
	}
	var last *x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Diagnosis{Broken, what, "holds something that is no certificate: " + err.Error()}
		}
		if last == nil || c.NotAfter.After(last.NotAfter) {
			last = c
		}
	}
	if last == nil {
		return Diagnosis{Broken, what, "holds no certificate"}
	}
	return expiry(what, last, now)
}

func expiry(what string, c *x509.Certificate, now time.Time) Diagnosis {
	end := c.NotAfter.UTC().Format(time.RFC3339)
	left := c.NotAfter.Sub(now)
	switch {
	case left <= 0:
		return Diagnosis{Broken, what, "has expired at " + end +
			": renew it, with cert-manager: cmctl renew"}
	case left.Seconds() < late*c.NotAfter.Sub(c.NotBefore).Seconds():
		return Diagnosis{Dubious, what, "expires at " + end + ", and has not been renewed yet"}
	default:
		return Diagnosis{Well, what, "is good until " + end}
	}
}

// certificateAt looks at the certificate of a webhook that is reached by its URL, and trusts whom
// the API server trusts.
func (p *patient) certificateAt(ctx context.Context, address string, bundle []byte) Diagnosis {
	const what = "webhook certificate"
	u, err := url.Parse(address)
	if err != nil {
		return Diagnosis{Broken, what, "the configuration's URL: " + err.Error()}
	}
	host := u.Host
	if u.Port() == "" {
		host += ":443"
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: u.Hostname(),
		MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return Diagnosis{Dubious, what, "not seen from here: " + err.Error()}
	}
	defer connection.Close()
	return expiry(what, connection.(*tls.Conn).ConnectionState().PeerCertificates[0],
		p.serverTime())
}
