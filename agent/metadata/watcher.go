package metadata

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/pause"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

// A Writer keeps evidence on a Node. *termination.Terminator implements it.
type Writer interface {
	AddEvidence(ctx context.Context, node *corev1.Node, e reason.Evidence) error
	RemoveEvidence(ctx context.Context, node *corev1.Node,
		forgettable func(reason.Evidence) bool) error
}

// Options are a watcher's dependencies and configuration.
type Options struct {
	Config config.Cloud
	// Node and BootID are the name and the boot of this machine.
	Node, BootID string
	// Live reads the Node from the API server.
	Live       client.Reader
	Terminator Writer
	Clock      clock.Clock
	Log        logr.Logger
}

// A Watcher hears what the cloud announces for the machine.
type Watcher struct {
	Options
	// heard are the notices that stand, by ID. heardAll says that the service has answered every
	// question at least once: what it did not say then, it does not say any more.
	heard    map[string]heard
	heardAll bool
	// written is what the Node was last made to have, and when.
	written   []reason.Evidence
	writtenAt time.Time
	failures  int

	mu     sync.Mutex
	state  *termination.Cloud
	faults []error
}

// New returns a watcher; Run starts it.
func New(o Options) *Watcher { return &Watcher{Options: o, heard: map[string]heard{}} }

// A service is the metadata service of one cloud.
type service interface {
	name() string
	// notices returns what is announced now. With an error, there may be more.
	notices(ctx context.Context) ([]Notice, error)
	close()
}

// linkLocal is where all three clouds have their service.
const linkLocal = "http://169.254.169.254"

// service returns that of a provider.
func (w *Watcher) service(provider string) service {
	base := strings.TrimSuffix(w.Config.Endpoint, "/")
	if base == "" {
		base = linkLocal
	}
	c := newConnection(base)
	switch provider {
	case config.AWS:
		return &aws{connection: c, clock: w.Clock}
	case config.GCE:
		c.host = gcpHost
		return &gcp{connection: c}
	default:
		return &azure{connection: c}
	}
}

const (
	// maxBackoff bounds the wait after failures: a spot instance has two minutes, and one question
	// may fail while the others are answered.
	maxBackoff = 20 * time.Second
	// tolerated is how many failures in a row are no fault yet.
	tolerated = 2
	// jitter is by how much of a period waits differ.
	jitter = 5
)

// Run asks until the context ends. It returns at once where there is no such cloud.
func (w *Watcher) Run(ctx context.Context) error {
	provider := w.provider(ctx)
	if provider == "" {
		return nil
	}
	s := w.service(provider)
	defer s.close()
	w.Log.Info("asking the cloud's metadata service", "provider", provider)
	for {
		notices, err := s.notices(ctx)
		if ctx.Err() != nil {
			return nil
		}
		w.hear(notices, err == nil)
		w.report(provider, s.name(), err, w.write(ctx, s.name()))
		if !pause.For(ctx, w.Clock, w.wait()) {
			return nil
		}
	}
}

// wait returns how long to wait before the next question.
func (w *Watcher) wait() time.Duration {
	d := w.Config.Period.Duration
	for range w.failures {
		if 2*d > maxBackoff {
			d = max(d, maxBackoff)
			break
		}
		d *= 2
	}
	//nolint:gosec // It spreads requests.
	return d + rand.N(d/jitter+1)
}

const (
	// firstLook is the wait before the Node is read again that has no provider yet: the cloud's
	// controller gives it one. It doubles up to lastLook.
	firstLook = 5 * time.Second
	lastLook  = 10 * time.Minute
)

// provider waits until it is known whose machine this is, and returns that provider, or "" for one
// that has no such service.
func (w *Watcher) provider(ctx context.Context) string {
	if w.Config.Provider != "" {
		return w.Config.Provider
	}
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		node, err := w.node(ctx)
		if err == nil && node.Spec.ProviderID != "" {
			return providerOf(node.Spec.ProviderID)
		}
		if !pause.For(ctx, w.Clock, wait) {
			return ""
		}
	}
}

func providerOf(id string) string {
	scheme, _, _ := strings.Cut(id, "://")
	switch scheme {
	case config.AWS, config.GCE, config.Azure:
		return scheme
	default:
		return ""
	}
}

// nodeTimeout bounds one request to the API server.
const nodeTimeout = 5 * time.Second

func (w *Watcher) node(ctx context.Context) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	node := &corev1.Node{}
	if err := w.Live.Get(ctx, types.NamespacedName{Name: w.Node}, node); err != nil {
		return nil, fmt.Errorf("get node %s: %w", w.Node, err)
	}
	return node, nil
}

// report replaces state and faults by those of now.
func (w *Watcher) report(provider, cloud string, unread, unwritten error) {
	w.failures++
	if unread == nil {
		w.failures = 0
	}
	var faults []error
	if w.failures > tolerated {
		faults = append(faults, fault.New(fault.MetadataUnread, unread,
			"ask the metadata service of "+cloud,
			"the agent needs hostNetwork (or the instance a hop limit of 2), and nothing may keep it from the service; agent.cloud.enabled: false asks nobody"))
	}
	if unwritten != nil {
		faults = append(faults, fault.New(fault.NodeUnwritten, unwritten,
			"write onto node "+w.Node+" what the cloud announces",
			"the agent needs to get nodes and to patch nodes/status"))
	}
	state := &termination.Cloud{Provider: provider, Silent: w.failures > tolerated}
	for _, e := range w.written {
		state.Announced = append(state.Announced, e.What)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state, w.faults = state, faults
}

// State says whom the watcher asks, and what is announced; nil before it knows.
func (w *Watcher) State() *termination.Cloud {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

// Faults returns what keeps the node from hearing what the cloud announces.
func (w *Watcher) Faults() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faults
}
