package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"github.com/epitaph-k8s/epitaph/config"
)

// metricsReader is a service account of kube-system that may read the metrics: it has the chart's
// ClusterRole of that name.
const metricsReader = "epitaph-metrics-reader"

func metricsURL(c config.Metrics) string {
	scheme := "http"
	if c.Secure {
		scheme = "https"
	}
	return scheme + "://" + c.Address + "/metrics"
}

// prepareReader makes the account that reads the metrics.
func (s *Sandbox) prepareReader(ctx context.Context) error {
	kubeconfig, err := s.serviceAccount(ctx, metricsReader, metricsReader)
	if err != nil {
		return err
	}
	reader, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("read the kubeconfig of %s: %w", metricsReader, err)
	}
	s.metricsToken = reader.BearerToken
	return nil
}

// MetricsReader is a client that trusts the certificates of this sandbox, and shows the token if it
// is given one.
func (s *Sandbox) MetricsReader(token string) *http.Client {
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(s.authority.pem)
	return &http.Client{Transport: transport.NewBearerAuthRoundTripper(token, &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	})}
}

// Metrics reads all that the replica serves.
func (e *Epitaph) Metrics(ctx context.Context) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.MetricsURL, nil)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", e.name, err)
	}
	response, err := e.sandbox.MetricsReader(e.sandbox.metricsToken).Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the metrics of %s: %w", e.name, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the metrics of %s: it answers %s", e.name, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("parse the metrics of %s: %w", e.name, err)
	}
	return families, nil
}
