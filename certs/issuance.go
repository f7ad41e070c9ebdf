package certs

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	cmv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// lookAgain is how often the Certificates are read. They are not watched: a watch on a kind
	// that is not installed, or may not be read, would block all that waits for the caches.
	lookAgain = 10 * time.Second
	// lookLimit bounds one question.
	lookLimit = 5 * time.Second
)

// IssuanceOptions are what an Issuance works with.
type IssuanceOptions struct {
	// Reader asks the API server itself, and knows cert-manager's types.
	Reader client.Reader
	// Namespace and Names are those of the Certificates.
	Namespace string
	Names     []string
	Clock     clock.WithTicker
	// Guard keeps a panic of a look at the Certificates from ending the process.
	Guard *guard.Guard
	Log   logr.Logger
}

// An Issuance reports the state of the Certificates from which cert-manager issues the serving
// certificate.
type Issuance struct {
	IssuanceOptions

	mu           sync.Mutex
	certificates map[string]certificateState
}

// NewIssuance returns one that knows nothing until it is started.
func NewIssuance(o IssuanceOptions) *Issuance {
	return &Issuance{IssuanceOptions: o, certificates: map[string]certificateState{}}
}

// Start looks again and again, until ctx ends.
func (i *Issuance) Start(ctx context.Context) error {
	tick := i.Clock.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		i.Guard.Run("Certificates", func() { i.look(ctx) })
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
	}
}

// NeedLeaderElection tells the manager that every replica looks: each serves, and tells why it
// cannot.
func (i *Issuance) NeedLeaderElection() bool { return false }

func (i *Issuance) look(ctx context.Context) {
	for _, name := range i.Names {
		i.note(name, i.read(ctx, name))
	}
}

func (i *Issuance) read(ctx context.Context, name string) certificateState {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	c := &cmv1.Certificate{}
	err := i.Reader.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: name}, c)
	switch {
	case err == nil:
		return judge(c)
	case meta.IsNoMatchError(err), isUnknownKind(err):
		return certificateState{ready: unknown,
			fault: "cert-manager's definitions are not installed: install cert-manager, or choose another source of certificates"}
	case apierrors.IsNotFound(err):
		return certificateState{ready: notReady,
			fault: "not issued: there is no such Certificate in namespace " + i.Namespace +
				": reinstall the chart"}
	default:
		return certificateState{ready: unknown,
			fault: "cannot be read: " + string(reason.Clean(err.Error()))}
	}
}

// isUnknownKind tells whether the API server no longer serves such objects at all, or only lacks
// this one: the path is unknown to it, and its answer no object
// (k8s.io/apimachinery/pkg/api/errors: NewGenericServerResponse).
func isUnknownKind(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err,
		metav1.CauseTypeUnexpectedServerResponse)
}

// note remembers the state of a Certificate, and logs what has changed.
func (i *Issuance) note(name string, now certificateState) {
	i.mu.Lock()
	before := i.certificates[name]
	i.certificates[name] = now
	i.mu.Unlock()
	switch now.fault {
	case before.fault:
	case "":
		i.Log.Info("the Certificate is ready again", "certificate", name)
	default:
		i.Log.Info("the Certificate is not ready", "certificate", name, "error", now.fault)
	}
}

// Explain adds what cert-manager says to the error of a failing probe.
func (i *Issuance) Explain(check healthz.Checker) healthz.Checker {
	return func(r *http.Request) error {
		err := check(r)
		if err == nil {
			return nil
		}
		if faults := i.faults(); faults != "" {
			return fmt.Errorf("%w (%s)", err, faults)
		}
		return err
	}
}

func (i *Issuance) faults() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	var all []string
	for _, name := range i.Names {
		if fault := i.certificates[name].fault; fault != "" {
			all = append(all, "Certificate "+name+": "+fault)
		}
	}
	return strings.Join(all, "; ")
}
