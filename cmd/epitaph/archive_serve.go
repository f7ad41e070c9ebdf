package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/epitaph-k8s/epitaph/archive"
	answering "github.com/epitaph-k8s/epitaph/archive/serve"
	"github.com/epitaph-k8s/epitaph/httpsserver"
	"github.com/epitaph-k8s/epitaph/internal/access"
)

const (
	// believedFor is how long an answer of the API server about a reader is reused, and
	// maxBelieved how many are kept.
	believedFor = 30 * time.Second
	maxBelieved = 4096
	// reviewWithin bounds the question whose token it is.
	reviewWithin = 10 * time.Second
	// Where the API server publishes which authority signs its clients' certificates.
	clientCAConfigMap = "extension-apiserver-authentication"
	clientCAKey       = "client-ca-file"
	// A reader who is slow must not hold a connection for long.
	askLimit, answerLimit, stopLimit = 10 * time.Second, 60 * time.Second, 5 * time.Second
	maxQuestionBytes                 = 32 << 10
)

// A reading answers questions about the archive, on every replica.
type reading struct {
	*archivist
	store   atomic.Pointer[archive.Store]
	clients *dynamiccertificates.ConfigMapCAController
	server  *httpsserver.Server
	watcher *certwatcher.CertWatcher
}

// NeedLeaderElection is false: reading needs no leader.
func (*reading) NeedLeaderElection() bool { return false }

func newReading(mgr manager.Manager, a *archivist) (*reading, error) {
	api, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make the client for readers of the archive: %w", err)
	}
	r := &reading{archivist: a}
	if r.clients, err = dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca",
		metav1.NamespaceSystem, clientCAConfigMap, clientCAKey, api); err != nil {
		return nil, fmt.Errorf("follow the authority of clients: %w", err)
	}
	users, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient: api.AuthenticationV1(), TokenAccessReviewTimeout: reviewWithin,
		WebhookRetryBackoff: &wait.Backoff{Steps: 1}, CacheTTL: believedFor,
		ClientCertificateCAContentProvider: r.clients,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("prepare the authentication of readers: %w", err)
	}
	handler, err := answering.New(answering.Options{
		Cluster: a.config.Archive.Cluster, Users: users, Store: r.opened,
		Rights: access.NewReviews(api.AuthorizationV1().SubjectAccessReviews(), clock.RealClock{},
			maxBelieved, believedFor),
		Registerer: metrics.Registry, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	dir := a.config.Archive.CertDir
	if r.watcher, err = certwatcher.New(filepath.Join(dir, "tls.crt"),
		filepath.Join(dir, "tls.key")); err != nil {
		return nil, fmt.Errorf("read the certificate of the archive: %w", err)
	}
	r.server = &httpsserver.Server{Name: "archive", Address: a.config.Archive.Address,
		Handler: handler, ReadTimeout: askLimit, WriteTimeout: answerLimit, StopTimeout: stopLimit,
		MaxHeaderBytes: maxQuestionBytes, Log: a.log,
		// The authenticator verifies what a client shows, as the API server's does.
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
			GetCertificate: r.watcher.GetCertificate}}
	return r, nil
}

func (r *reading) opened() archive.Store {
	if store := r.store.Load(); store != nil {
		return *store
	}
	return nil
}

// Start answers until ctx is done.
func (r *reading) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := r.clients.RunOnce(ctx); err != nil {
			r.log.Error(err, "readers with client certificates are unknown for now, will be retried")
		}
		r.clients.Run(ctx, 1)
		return nil
	})
	group.Go(func() error { return r.watcher.Start(ctx) })
	group.Go(func() error { return r.server.Start(ctx) })
	group.Go(func() error {
		store, err := r.open(ctx)
		if err != nil || store == nil {
			return err
		}
		r.store.Store(&store)
		<-ctx.Done()
		return nil
	})
	err := group.Wait() // after which nobody reads
	if store := r.opened(); store != nil {
		store.Close()
	}
	return err
}
