package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Clients are the callers that a server accepts: those with a certificate of this authority.
type Clients struct {
	// File holds the certificates that may sign a client's, in PEM; a change is noticed without a
	// restart.
	File string
	// Names are the common names of which the client's certificate must have one. Without any,
	// every certificate of the authority is accepted: then it must sign nobody else's.
	Names []string

	mu    sync.Mutex
	read  time.Time
	roots *x509.CertPool
}

// NewClients returns the clients whose certificates the file in the folder signs, by these names.
func NewClients(dir, file string, names []string) *Clients {
	return &Clients{File: filepath.Join(dir, file), Names: names}
}

// TLS makes a server refuse everybody else in the handshake, before it reads a byte of a request.
func (c *Clients) TLS(config *tls.Config) {
	config.ClientAuth = tls.RequireAndVerifyClientCert
	// A resumed session would not be verified against an authority that has changed since.
	config.SessionTicketsDisabled = true
	config.VerifyConnection = c.verify
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		roots, err := c.authorities()
		if err != nil {
			return nil, err
		}
		own := config.Clone()
		own.ClientCAs, own.GetConfigForClient = roots, nil
		return own, nil
	}
}

// authorities reads the file again if it has changed.
func (c *Clients) authorities() (*x509.CertPool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.File)
	if err != nil {
		return nil, fmt.Errorf("read the clients' authority: %w", err)
	}
	if c.roots != nil && info.ModTime().Equal(c.read) {
		return c.roots, nil
	}
	content, err := os.ReadFile(c.File)
	if err != nil {
		return nil, fmt.Errorf("read the clients' authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("read the clients' authority: %s contains no PEM certificate",
			c.File)
	}
	c.roots, c.read = roots, info.ModTime()
	return roots, nil
}

// Check returns what is wrong with the authority, if anything. Then no caller is accepted, not even
// the API server.
func (c *Clients) Check(*http.Request) error {
	_, err := c.authorities()
	return err
}

// verify compares the name of a client whose certificate is good.
func (c *Clients) verify(state tls.ConnectionState) error {
	if len(state.VerifiedChains) == 0 {
		return errors.New("the client presents no certificate of its authority")
	}
	if name := state.PeerCertificates[0].Subject.CommonName; len(c.Names) > 0 &&
		!slices.Contains(c.Names, name) {
		return fmt.Errorf("the client is %.64q, which is not one of webhook.clientNames", name)
	}
	return nil
}
