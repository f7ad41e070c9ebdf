package policyfile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/internal/guard"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Names of the metrics.
const (
	MetricReloads = "epitaph_policy_reloads_total"
	MetricRefused = "epitaph_policy_refused"
)

// Reasons of the Events.
const (
	EventChanged = "PolicyChanged"
	EventRefused = "PolicyRefused"
)

// An outcome is what became of a policy that the file had.
type outcome string

const (
	// taken: the webhook decides by it.
	taken outcome = "taken"
	// refused: something in the file is wrong, and the policy stays as it was.
	refused outcome = "refused"
)

// Every is how often the file is read.
const Every = 5 * time.Second

// Options are a follower's dependencies.
type Options struct {
	// File is the configuration file.
	File string
	// Started is what the process has read from it at its start.
	Started config.Config
	// Apply has the webhook decide by the policy of c, or says what is wrong with it.
	Apply func(c config.Webhook) error
	// About is the object that Events are about.
	About      runtime.Object
	Events     audit.EventRecorder
	Clock      clock.WithTicker
	Registerer prometheus.Registerer
	Log        logr.Logger
}

// A Follower hands on each new policy in the file. It is a runnable of the manager.
type Follower struct {
	Options
	reloads *prometheus.CounterVec
	refused prometheus.Gauge
	guard   *guard.Guard
	// current has the policy that the webhook decides by.
	current config.Webhook
	// seen is the hash of what was found at the last look.
	seen [sha256.Size]byte
}

// New registers the metrics.
func New(o Options) (*Follower, error) {
	f := &Follower{Options: o, current: o.Started.Webhook,
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: MetricReloads,
			Help: "Changed policies in the configuration file, by outcome.",
		}, []string{"outcome"}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: MetricRefused,
			Help: "Whether the configuration file has been refused, so that an older policy is in force.",
		}),
	}
	if err := errors.Join(o.Registerer.Register(f.reloads),
		o.Registerer.Register(f.refused)); err != nil {
		return nil, fmt.Errorf("register the metrics of the policy: %w", err)
	}
	for _, o := range []outcome{taken, refused} {
		f.reloads.WithLabelValues(string(o)) // An alert on an increase needs the zero before it.
	}
	var err error
	f.guard, err = guard.New(o.Registerer, "policy", o.Log)
	return f, err
}

// NeedLeaderElection is false: every replica decides.
func (*Follower) NeedLeaderElection() bool { return false }

// Start looks until the context ends.
func (f *Follower) Start(ctx context.Context) error {
	ticker := f.Clock.NewTicker(Every)
	defer ticker.Stop()
	for {
		f.guard.Run("look", f.look)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// look hands on what has changed since the last look.
func (f *Follower) look() {
	content, err := config.Read(f.File)
	found := content
	if err != nil {
		found = []byte(err.Error())
	}
	sum := sha256.Sum256(found)
	if sum == f.seen {
		return
	}
	changed := false
	if err == nil {
		changed, err = f.take(content)
	}
	f.seen = sum // Not before: after a panic, the next look tries again.
	switch {
	case err != nil:
		f.refuse(err)
		return
	case changed:
		f.tell()
	}
	f.refused.Set(0)
}

// take hands the policy of a file on, if it has changed.
func (f *Follower) take(content []byte) (changed bool, err error) {
	next, err := config.Parse(content)
	if err != nil {
		return false, err
	}
	policy := f.current.WithPolicyOf(next.Webhook)
	if changed = !reflect.DeepEqual(policy, f.current); changed {
		if err := f.Apply(policy); err != nil {
			return false, err
		}
		f.current = policy
	}
	next.Webhook = next.Webhook.WithPolicyOf(f.Started.Webhook)
	if sections := different(f.Started, next); len(sections) > 0 {
		f.Log.Info("configuration changed: these sections are read at a restart",
			"sections", sections)
	}
	return changed, nil
}

func (f *Follower) tell() {
	c := f.current
	f.reloads.WithLabelValues(string(taken)).Inc()
	names := make([]string, len(c.Rules))
	for n, rule := range c.Rules {
		names[n] = rule.Name
	}
	f.Log.Info("policy changed", "mode", c.Mode, "rules", names,
		"neverDeniedNamespaces", c.NeverDeniedNamespaces)
	f.event(corev1.EventTypeNormal, EventChanged, fmt.Sprintf(
		"The webhook decides by a changed policy: mode %s, rules %s.", c.Mode,
		strings.Join(names, ", ")))
}

func (f *Follower) refuse(err error) {
	f.reloads.WithLabelValues(string(refused)).Inc()
	f.refused.Set(1)
	f.Log.Info("configuration refused: the policy stays as it was", "error",
		reason.Clean(err.Error()))
	f.event(corev1.EventTypeWarning, EventRefused,
		"The changed configuration is wrong, and the policy stays as it was: "+err.Error())
}

// event tells of the file that was seen last. Its hash is part of the action, since client-go
// counts Events that differ in nothing but their note as one, with the first one's note
// (tools/events/event_broadcaster.go).
func (f *Follower) event(kind, why, note string) {
	f.Events.Eventf(f.About, nil, kind, why, fmt.Sprintf("FollowPolicy-%x", f.seen[:4]), "%s",
		reason.CleanTo(note, audit.MaxNoteBytes))
}

// different are the names of the sections that the manager reads and that are not the same in both.
func different(a, b config.Config) (sections []string) {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for n := range x.NumField() {
		name, _, _ := strings.Cut(x.Type().Field(n).Tag.Get("json"), ",")
		if name != "agent" && !reflect.DeepEqual(x.Field(n).Interface(), y.Field(n).Interface()) {
			sections = append(sections, name)
		}
	}
	return sections
}
