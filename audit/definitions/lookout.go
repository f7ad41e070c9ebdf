package definitions

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// MetricMissing is the name of the metric.
	MetricMissing = "epitaph_audit_definitions_missing"
	// EventMissing is the reason of the Event.
	EventMissing = "DefinitionMissing"
	// Remedy is what to do about a missing definition.
	Remedy = "Nothing is recorded until it is there; deletions get their reasons and go on. " +
		"Install it with `kubectl apply --server-side -f crds/` from the folder of the chart; Epitaph need not be restarted."

	lookEvery = 10 * time.Second
)

// Options are a lookout's dependencies.
type Options struct {
	Discovery  discovery.ServerResourcesInterface
	Events     audit.EventRecorder
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Lookout reports missing definitions in the log, in a metric, and in an Event. It is a runnable
// of the manager.
type Lookout struct {
	Options
	missing *prometheus.GaugeVec
	guard   *guard.Guard
	// last is what was missing at the last look.
	last map[string]bool
}

// NewLookout registers the metric.
func NewLookout(o Options) (*Lookout, error) {
	missing := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: MetricMissing,
		Help: "Whether the API server lacks the CustomResourceDefinition, without which nothing is recorded.",
	}, []string{"definition"})
	if err := o.Registerer.Register(missing); err != nil {
		return nil, fmt.Errorf("register the metric of missing definitions: %w", err)
	}
	g, err := guard.New(o.Registerer, "definitions", o.Log)
	return &Lookout{Options: o, missing: missing, guard: g, last: map[string]bool{}}, err
}

// NeedLeaderElection is false: every replica reports what it sees.
func (*Lookout) NeedLeaderElection() bool { return false }

// Start looks until the context ends.
func (l *Lookout) Start(ctx context.Context) error {
	ticker := l.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		l.guard.Run("look", l.look)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// look reports what has changed since the last look. If the API server does not answer, nothing
// has.
func (l *Lookout) look() {
	served, err := l.Discovery.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return
	}
	for _, kind := range slices.Sorted(maps.Keys(definitions)) {
		l.note(definitions[kind].name(), err != nil ||
			!slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool {
				return r.Kind == kind
			}))
	}
}

func (l *Lookout) note(definition string, missing bool) {
	value := 0.0
	if missing {
		value = 1
	}
	l.missing.WithLabelValues(definition).Set(value)
	switch was := l.last[definition]; {
	case missing && !was:
		l.Log.Info("definition missing", "definition", definition, "remedy", Remedy)
		about := &corev1.ObjectReference{APIVersion: "apiextensions.k8s.io/v1",
			Kind: "CustomResourceDefinition", Name: definition}
		l.Events.Eventf(about, nil, corev1.EventTypeWarning, EventMissing, "Record", "%s",
			reason.CleanTo("The API server does not have "+definition+". "+Remedy,
				audit.MaxNoteBytes))
	case !missing && was:
		l.Log.Info("definition installed: records are written again", "definition", definition)
	}
	l.last[definition] = missing
}
