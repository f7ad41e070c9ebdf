package certs

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/guard"
)

// What the Secret holds: besides the keys that every replica mounts, the certificate that will be
// served once the API server trusts it.
const (
	authorityKey = "ca.crt"
	nextCertKey  = "next.crt"
	nextKeyKey   = "next.key"
)

// settle is how long the API servers have trusted a new authority before it is served: they learn
// of a webhook configuration from a watch, each by itself, and nothing tells when all have.
const settle = 30 * time.Second

// RenewalOptions are what a Renewal works with.
type RenewalOptions struct {
	// Reader asks the API server itself: nothing here is worth a cache of Secrets.
	Reader client.Reader
	Writer client.Writer
	// Namespace and Secret are those of the serving certificate, which the replicas mount.
	Namespace, Secret string
	// Configuration is the webhook configuration whose caBundle follows; "" if there is none.
	Configuration string
	Clock         clock.WithTicker
	// Guard keeps a panic of a look at the certificate from ending the process.
	Guard *guard.Guard
	Log   logr.Logger
}

// A Renewal replaces a serving certificate that nobody else does, before it ends: one that Helm has
// made. Each time, a new authority signs a new certificate, and its key is thrown away.
//
// It goes on from what the Secret and the webhook configuration hold, whoever wrote that and then
// died: first the Secret has the next certificate beside the one that is served, and both
// authorities; then the API server trusts both; then the next one is served. So no replica serves
// what the API server does not trust, though each learns of the new one in its own time. The old
// authority stays until it ends.
type Renewal struct {
	RenewalOptions

	// trusted is since when, as far as this process has seen, the API server has trusted the next
	// certificate: a process that knows nothing waits anew.
	trusted time.Time
	told    string
}

// NewRenewal returns one that does nothing until it is started.
func NewRenewal(o RenewalOptions) *Renewal { return &Renewal{RenewalOptions: o} }

// Start looks again and again, until ctx ends.
func (r *Renewal) Start(ctx context.Context) error {
	tick := r.Clock.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		r.Guard.Run("Renewal", func() { r.note(r.look(ctx)) })
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
	}
}

// NeedLeaderElection tells the manager that one replica renews.
func (r *Renewal) NeedLeaderElection() bool { return true }

// note logs a failure once, however often it comes again.
func (r *Renewal) note(err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != "" && said != r.told {
		r.Log.Error(err, "the serving certificate cannot be renewed", "secret", r.Secret)
	}
	r.told = said
}

func (r *Renewal) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	secret := &corev1.Secret{}
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Secret},
		secret); err != nil {
		return fmt.Errorf("read the Secret of the serving certificate: %w", err)
	}
	served, err := leafOf(secret.Data[corev1.TLSCertKey])
	if err != nil {
		return fmt.Errorf("read the serving certificate in the Secret %s: %w: delete the Secret, "+
			"and have Helm make another (helm upgrade)", r.Secret, err)
	}
	now := r.Clock.Now()
	if secret.Data[nextCertKey] == nil && now.After(renewAt(served)) {
		return r.begin(ctx, secret, served, now)
	}
	already, err := r.trust(ctx, secret.Data[authorityKey])
	if err != nil || secret.Data[nextCertKey] == nil {
		return err
	}
	if !already || r.trusted.IsZero() {
		r.trusted = now
	}
	if now.Sub(r.trusted) < settle {
		return nil
	}
	return r.end(ctx, secret)
}

// begin puts the next certificate into the Secret.
func (r *Renewal) begin(ctx context.Context, secret *corev1.Secret, served *x509.Certificate,
	now time.Time) error {
	next, err := issue(served, now)
	if err != nil {
		return fmt.Errorf("make the next serving certificate: %w", err)
	}
	secret.Data[nextCertKey], secret.Data[nextKeyKey] = next.certificate, next.key
	secret.Data[authorityKey] = append(next.authority, stillGood(secret.Data[authorityKey], now)...)
	// The Secret is named by what was read of it: if another has written meanwhile, this fails.
	if err := r.Writer.Update(ctx, secret); err != nil {
		return fmt.Errorf("write the next serving certificate: %w", err)
	}
	r.trusted = time.Time{}
	r.Log.Info("the serving certificate is being renewed", "secret", r.Secret,
		"expires", at(served.NotAfter))
	return nil
}

// trust has the webhook configuration trust the authorities, and tells whether it already did.
func (r *Renewal) trust(ctx context.Context, authorities []byte) (already bool, err error) {
	if r.Configuration == "" {
		return true, nil
	}
	if len(authorities) == 0 {
		return false, errors.New("the Secret has no ca.crt")
	}
	registered := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := r.Reader.Get(ctx, client.ObjectKey{Name: r.Configuration}, registered); err != nil {
		return false, fmt.Errorf("read the webhook configuration: %w", err)
	}
	already = true
	for i := range registered.Webhooks {
		if call := &registered.Webhooks[i].ClientConfig; !bytes.Equal(call.CABundle, authorities) {
			call.CABundle, already = authorities, false
		}
	}
	if already {
		return true, nil
	}
	if err := r.Writer.Update(ctx, registered); err != nil {
		return false, fmt.Errorf("write the caBundle of the webhook configuration: %w", err)
	}
	return false, nil
}

// end has the replicas serve the next certificate.
func (r *Renewal) end(ctx context.Context, secret *corev1.Secret) error {
	next, err := leafOf(secret.Data[nextCertKey])
	if err != nil {
		return fmt.Errorf("read the next serving certificate: %w", err)
	}
	secret.Data[corev1.TLSCertKey] = secret.Data[nextCertKey]
	secret.Data[corev1.TLSPrivateKeyKey] = secret.Data[nextKeyKey]
	delete(secret.Data, nextCertKey)
	delete(secret.Data, nextKeyKey)
	if err := r.Writer.Update(ctx, secret); err != nil {
		return fmt.Errorf("write the serving certificate: %w", err)
	}
	r.Log.Info("the serving certificate is renewed", "secret", r.Secret, "expires",
		at(next.NotAfter))
	return nil
}

// renewAt is when a third of the certificate's life is left, as with cert-manager.
func renewAt(c *x509.Certificate) time.Time {
	return c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3)
}
