package page

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/httpsserver"
)

const (
	// A visitor who is slow must not hold a connection for long.
	readLimit  = 10 * time.Second
	writeLimit = 60 * time.Second
	// stopLimit is how long requests under way may take when we stop.
	stopLimit      = 5 * time.Second
	maxHeaderBytes = 32 << 10
)

// A Server serves a page by HTTPS, on every replica.
type Server struct {
	Page   http.Handler
	Config config.Page
	Log    logr.Logger
}

// NeedLeaderElection is false: reading needs no leader.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	watcher, err := certwatcher.New(filepath.Join(s.Config.CertDir, "tls.crt"),
		filepath.Join(s.Config.CertDir, "tls.key"))
	if err != nil {
		return fmt.Errorf("read the certificate of the page: %w", err)
	}
	server := &httpsserver.Server{
		Name: "page", Address: s.Config.Address, Handler: s.Page,
		TLS: &tls.Config{GetCertificate: watcher.GetCertificate,
			MinVersion: tls.VersionTLS12},
		ReadTimeout: readLimit, WriteTimeout: writeLimit, StopTimeout: stopLimit,
		MaxHeaderBytes: maxHeaderBytes, Log: s.Log,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watcher.Start(ctx) })
	group.Go(func() error { return server.Start(ctx) })
	return group.Wait()
}
