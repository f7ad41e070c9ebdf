package config

// Metrics configures who may read the metrics of the manager. Those of the agent are
// [Agent.MetricsAddress]'s.
type Metrics struct {
	// Address is the "host:port" to listen on; an empty host listens on all addresses.
	Address string `json:"address" validate:"required,hostport"`
	// Secure serves them by HTTPS, and only to those who may get the path /metrics according to the
	// API server. Without it, whoever reaches the port reads them by HTTP.
	Secure bool `json:"secure"`
	// CertDir holds tls.crt and tls.key; a change is noticed without a restart. Where they are not
	// there at the start, the certificate is self-signed.
	CertDir string `json:"certDir" validate:"required"`
}

func defaultMetrics() Metrics {
	return Metrics{Address: ":8080", Secure: true, CertDir: "/var/run/epitaph/tls"}
}
