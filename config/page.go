package config

// Page configures the pages that show the records to those who do not use kubectl. They are off by
// default.
type Page struct {
	// Enabled serves the page.
	Enabled bool `json:"enabled"`
	// Address is the "host:port" to listen on, for HTTPS only.
	Address string `json:"address" validate:"required,hostport"`
	// CertDir holds tls.crt and tls.key; a change is noticed without a restart.
	CertDir string `json:"certDir" validate:"required"`
}

func defaultPage() Page { return Page{Address: ":8443", CertDir: "/var/run/epitaph/tls"} }
