package httpsserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
)

const (
	// maxConnections bounds the connections of a server. An API server needs a handful, a visitor's
	// browser up to six.
	maxConnections = 1024
	// maxStreams bounds the requests of one HTTP/2 connection: net/http's own number (x/net/http2,
	// defaultMaxStreams).
	maxStreams = 250
	// idleLimit ends idle connections: net/http's clients keep theirs for as long.
	idleLimit = 90 * time.Second
)

// A Server serves HTTPS.
type Server struct {
	// Name is what errors call the server.
	Name string
	// Address is the "host:port" to listen on.
	Address string
	TLS     *tls.Config
	Handler http.Handler
	// ReadTimeout bounds the handshake, and the time to read a request, header and body;
	// WriteTimeout the time to answer it; StopTimeout the time for requests under way when the
	// server stops.
	ReadTimeout, WriteTimeout, StopTimeout time.Duration
	// MaxHeaderBytes bounds a request's header.
	MaxHeaderBytes int
	Log            logr.Logger

	listening atomic.Bool
}

// Start serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listen for the %s on %s: %w", s.Name, s.Address, err)
	}
	config := s.TLS.Clone()
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.NextProtos = []string{"h2", "http/1.1"}
	server := &http.Server{
		Handler: s.Handler, MaxHeaderBytes: s.MaxHeaderBytes,
		ReadTimeout: s.ReadTimeout, ReadHeaderTimeout: s.ReadTimeout, WriteTimeout: s.WriteTimeout,
		IdleTimeout: idleLimit,
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// Errors of callers are logged at V(1) only: otherwise callers could fill the log.
		ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(s.Log.V(1)), slog.LevelInfo),
	}
	s.listening.Store(true)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(tls.NewListener(limit(listener, maxConnections),
			config)); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the %s: %w", s.Name, err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
		defer cancel()
		if err := server.Shutdown(stopping); err != nil {
			s.Log.Info("requests under way were cut off", "server", s.Name, "error", err.Error())
		}
		return nil
	})
	return group.Wait()
}

// Listening reports whether the server has opened its port.
func (s *Server) Listening() bool { return s.listening.Load() }
