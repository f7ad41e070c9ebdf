package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// waitForFiles is how often we look for files that are not there yet.
const waitForFiles = time.Second

// Serving is the certificate that the webhook serves.
type Serving struct {
	dir   string
	clock clock.WithTicker

	mu      sync.Mutex
	watcher *certwatcher.CertWatcher
	fault   error
}

// NewServing returns the certificate in the folder: tls.crt and tls.key. It need not be there yet.
func NewServing(dir string, clk clock.WithTicker) *Serving {
	return &Serving{dir: dir, clock: clk, fault: errors.New("it has not been read yet")}
}

// Start follows the files until ctx ends.
func (s *Serving) Start(ctx context.Context) error {
	tick := s.clock.NewTicker(waitForFiles)
	defer tick.Stop()
	for {
		if watcher := s.open(); watcher != nil {
			return watcher.Start(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
	}
}

// NeedLeaderElection tells the manager that every replica serves.
func (s *Serving) NeedLeaderElection() bool { return false }

func (s *Serving) open() *certwatcher.CertWatcher {
	watcher, err := certwatcher.New(filepath.Join(s.dir, "tls.crt"),
		filepath.Join(s.dir, "tls.key"))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.fault = err
		return nil
	}
	s.watcher, s.fault = watcher, nil
	return watcher
}

// TLS makes a server use the newest certificate.
func (s *Serving) TLS(c *tls.Config) {
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.Current() }
}

// Current is the certificate that is served now.
func (s *Serving) Current() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watcher == nil {
		return nil, fmt.Errorf(
			"there is no serving certificate in %s: it has not been issued, or its Secret is not mounted (%w)", s.dir, s.fault)
	}
	return s.watcher.GetCertificate(nil)
}

// Checker is a readiness probe: would the API server accept what is served? It reads the webhook
// configuration of that name.
func (s *Serving) Checker(reader client.Reader, configuration string) healthz.Checker {
	return func(r *http.Request) error {
		served, err := s.Current()
		if err != nil {
			return err
		}
		registered := &admissionregistrationv1.MutatingWebhookConfiguration{}
		err = reader.Get(r.Context(), client.ObjectKey{Name: configuration}, registered)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf(
				"there is no webhook configuration %s: the API server does not call Epitaph when something is deleted", configuration)
		}
		if err != nil {
			return fmt.Errorf("read the webhook configuration %s: %w", configuration, err)
		}
		return Verify(served, registered, s.clock.Now())
	}
}
