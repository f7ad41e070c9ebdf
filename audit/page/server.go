package page

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"github.com/epitaph-k8s/epitaph/config"
)

const (
	// A visitor who is slow must not hold a connection for long.
	readLimit  = 10 * time.Second
	writeLimit = 60 * time.Second
	idleLimit  = 2 * time.Minute
	// stopLimit is how long those who are being answered may take when we stop.
	stopLimit      = 5 * time.Second
	maxHeaderBytes = 32 << 10
)

// A Server serves a page by HTTPS, on every replica.
type Server struct {
	Page   http.Handler
	Config config.Page
}

// NeedLeaderElection is false: reading needs no leader.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	watcher, err := certwatcher.New(filepath.Join(s.Config.CertDir, "tls.crt"), filepath.Join(s.Config.CertDir, "tls.key"))
	if err != nil {
		return fmt.Errorf("read the certificate of the page: %w", err)
	}
	listener, err := tls.Listen("tcp", s.Config.Address, &tls.Config{GetCertificate: watcher.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		return fmt.Errorf("listen for the page on %s: %w", s.Config.Address, err)
	}
	server := &http.Server{
		Handler: s.Page, ReadTimeout: readLimit, ReadHeaderTimeout: readLimit, WriteTimeout: writeLimit, IdleTimeout: idleLimit,
		MaxHeaderBytes: maxHeaderBytes,
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watcher.Start(ctx) })
	group.Go(func() error { return serve(server, listener) })
	group.Go(func() error {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		return server.Shutdown(stopping)
	})
	return group.Wait()
}

func serve(server *http.Server, listener net.Listener) error {
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the page: %w", err)
	}
	return nil
}
