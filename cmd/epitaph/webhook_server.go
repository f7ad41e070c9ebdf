package main

import (
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/epitaph-k8s/epitaph/certs"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/httpsserver"
)

const (
	// webhookHeaderBytes bounds the header of a review: the API server sends a few hundred bytes.
	webhookHeaderBytes = 8 << 10
	// webhookStopLimit is how long pending reviews may take while we stop: as long as the API
	// server waits at most.
	webhookStopLimit = 30 * time.Second
)

// A webhookServer is started by the manager before its caches. controller-runtime's own server does
// not limit how long it reads a body.
type webhookServer struct {
	*httpsserver.Server
	mux *http.ServeMux
	// clients are those it answers; nil means everybody.
	clients *certs.Clients
}

var _ ctrlwebhook.Server = (*webhookServer)(nil)

func newWebhookServer(c config.Webhook, serving *certs.Serving, log logr.Logger) *webhookServer {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	serving.TLS(tlsConfig)
	var clients *certs.Clients
	if c.ClientCA != "" {
		clients = certs.NewClients(c.CertDir, c.ClientCA, c.ClientNames)
		clients.TLS(tlsConfig)
	}
	mux := http.NewServeMux()
	return &webhookServer{mux: mux, clients: clients, Server: &httpsserver.Server{
		Name: "webhook", Address: c.Address, TLS: tlsConfig, Handler: mux,
		// The API server does not wait longer for the whole call.
		ReadTimeout: c.Timeout.Duration, WriteTimeout: 2 * c.Timeout.Duration,
		StopTimeout:    webhookStopLimit,
		MaxHeaderBytes: webhookHeaderBytes, Log: log.WithName("webhook"),
	}}
}

// NeedLeaderElection is false: every replica is asked.
func (s *webhookServer) NeedLeaderElection() bool { return false }

// Register has a handler asked at the path.
func (s *webhookServer) Register(path string, hook http.Handler) { s.mux.Handle(path, hook) }

// WebhookMux has the handlers.
func (s *webhookServer) WebhookMux() *http.ServeMux { return s.mux }

// StartedChecker tells the readiness probe whether the server listens and, where it must tell the
// API server from other callers, can.
func (s *webhookServer) StartedChecker() healthz.Checker {
	return func(r *http.Request) error {
		if !s.Listening() {
			return errors.New("the webhook does not listen yet")
		}
		if s.clients == nil {
			return nil
		}
		return s.clients.Check(r)
	}
}
