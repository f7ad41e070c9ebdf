package sandbox

import (
	"fmt"
	"os"
)

// Issuer is an OpenID provider whose tokens the API server believes.
type Issuer struct {
	// URL is that of the provider, Authority the PEM of what has signed its certificate.
	URL       string
	Authority string
	// Audience is for whom its tokens must be.
	Audience string
}

// OfIssuer is the prefix of the names and the groups that are from tokens of the Issuer.
const OfIssuer = "oidc:"

// issuerFlags have the API server believe the tokens of the Issuer.
func (s *Sandbox) issuerFlags() []string {
	if s.options.Issuer == nil {
		return nil
	}
	return []string{"--authentication-config=" + s.path("authentication.yaml")}
}

// writeIssuer writes what the API server shall believe.
func (s *Sandbox) writeIssuer() error {
	i := s.options.Issuer
	if i == nil {
		return nil
	}
	file := fmt.Appendf(nil, authenticationConfiguration, i.URL, i.Authority, i.Audience, OfIssuer,
		OfIssuer)
	if err := os.WriteFile(s.path("authentication.yaml"), file, 0o644); err != nil {
		return fmt.Errorf("write the configuration of authentication: %w", err)
	}
	return nil
}

// authenticationConfiguration is what "Using Authentication Configuration" in the documentation of
// Kubernetes has for one issuer. Kubernetes 1.33 does not know its version v1.
const authenticationConfiguration = `apiVersion: apiserver.config.k8s.io/v1beta1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: %q, certificateAuthority: %q, audiences: [%q]}
  claimMappings:
    username: {claim: sub, prefix: %q}
    groups: {claim: groups, prefix: %q}
`
