package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// APIVersion and Kind are the type that a configuration file must declare.
const (
	APIVersion = "config.epitaph-k8s.io/v1alpha1"
	Kind       = "Configuration"
)

// A Config is the whole configuration of `epitaph manager` and of `epitaph agent`, which read the
// same file.
type Config struct {
	// APIVersion and Kind say what the file is.
	APIVersion string `json:"apiVersion" validate:"eq=config.epitaph-k8s.io/v1alpha1"`
	Kind       string `json:"kind" validate:"eq=Configuration"`

	// Namespace is where Epitaph itself runs; nothing is ever denied there.
	Namespace string `json:"namespace" validate:"required,dnslabel"`
	// Annotations are the keys under which reasons are kept.
	Annotations reason.KeySet `json:"annotations"`
	Inference   Inference     `json:"inference"`
	Webhook     Webhook       `json:"webhook"`
	GC          GC            `json:"gc"`
	Netconsole  Netconsole    `json:"netconsole"`
	Agent       Agent         `json:"agent"`
	Audit       Audit         `json:"audit"`
	Retention   Retention     `json:"retention"`
	Archive     Archive       `json:"archive"`
	Page        Page          `json:"page"`
	Metrics     Metrics       `json:"metrics"`
	// HealthAddress is "host:port"; an empty host listens on all addresses.
	HealthAddress  string         `json:"healthAddress" validate:"required,hostport"`
	LeaderElection LeaderElection `json:"leaderElection"`
	Client         Client         `json:"client"`
}

// Inference configures how evidence becomes a reason.
type Inference struct {
	// Signals are tried before the default ones of their rank; the first that matches wins.
	Signals []reason.Signal `json:"signals,omitempty" validate:"dive"`
	// OmitDefaultSignals omits the default signals.
	OmitDefaultSignals bool `json:"omitDefaultSignals,omitempty"`
	// Identities say who is behind a user name. They are looked at before the default ones; the
	// first that matches wins.
	Identities []reason.Identity `json:"identities,omitempty" validate:"dive"`
	// OmitDefaultIdentities omits the default identities.
	OmitDefaultIdentities bool `json:"omitDefaultIdentities,omitempty"`
	// OwnerSignals are what the cluster's own queues and operators write on the objects by which
	// they decide about pods. They are looked at before the default ones; the first that matches
	// wins.
	OwnerSignals []reason.OwnerSignal `json:"ownerSignals,omitempty" validate:"max=256,dive"`
	// OmitDefaultOwnerSignals omits the default owner signals.
	OmitDefaultOwnerSignals bool `json:"omitDefaultOwnerSignals,omitempty"`
	// Operators are the names of controllers that delete the pods of their own kinds, and whose
	// rights do not tell.
	Operators []reason.Operator `json:"operators,omitempty" validate:"max=256,dive"`
	// NamePreemptors lets the name of a preemptor in another namespace appear on its victim,
	// instead of its UID.
	NamePreemptors bool `json:"namePreemptors,omitempty"`
}

// Inferrer returns the inference that c configures.
func (c *Config) Inferrer() reason.Inferrer {
	signals := c.Inference.Signals
	if !c.Inference.OmitDefaultSignals {
		signals = append(signals[:len(signals):len(signals)], reason.DefaultSignals()...)
	}
	identities := c.Inference.Identities
	if !c.Inference.OmitDefaultIdentities {
		identities = append(identities[:len(identities):len(identities)],
			reason.DefaultIdentities()...)
	}
	owners := c.Inference.OwnerSignals
	if !c.Inference.OmitDefaultOwnerSignals {
		owners = append(owners[:len(owners):len(owners)], reason.DefaultOwnerSignals()...)
	}
	operators := c.Inference.Operators
	operators = append(operators[:len(operators):len(operators)], reason.DefaultOperators()...)
	return reason.Inferrer{Keys: c.Annotations, Signals: reason.Ranked(signals),
		Identities: identities, OwnerSignals: owners, Operators: operators,
		NamePreemptors: c.Inference.NamePreemptors}
}

// LeaderElection configures which replica collects garbage and writes obituaries.
type LeaderElection struct {
	// Enabled elects that replica; without it, each replica does the work.
	Enabled bool `json:"enabled"`
}

// Client configures the connection to the API server.
type Client struct {
	// QPS and Burst limit the requests of this process; the API server's own Priority and Fairness
	// limits them as well.
	QPS   float32 `json:"qps" validate:"min=1,max=10000"`
	Burst int     `json:"burst" validate:"min=1,max=20000"`
}

// Default returns the configuration that an empty file stands for.
func Default() Config {
	return Config{
		APIVersion:  APIVersion,
		Kind:        Kind,
		Namespace:   "epitaph-system",
		Annotations: reason.DefaultKeys(),
		Webhook: Webhook{
			Enabled:               true,
			Address:               ":9443",
			CertDir:               "/var/run/epitaph/tls",
			Mode:                  EnforceMode,
			FailurePolicy:         FailOpen,
			Timeout:               metav1.Duration{Duration: 5 * time.Second},
			WriteTimeout:          metav1.Duration{Duration: 2 * time.Second},
			NeverDeniedNamespaces: []string{"kube-system"},
			CreatedReasons:        StripReasons,
			LeftoverAfter:         metav1.Duration{Duration: time.Minute},
			Rules:                 DefaultRules(),
		},
		GC:             defaultGC(),
		Netconsole:     defaultNetconsole(),
		Agent:          defaultAgent(),
		Audit:          defaultAudit(),
		Retention:      defaultRetention(),
		Archive:        defaultArchive(),
		Page:           defaultPage(),
		Metrics:        defaultMetrics(),
		HealthAddress:  ":8081",
		LeaderElection: LeaderElection{Enabled: true},
		Client:         Client{QPS: 1000, Burst: 2000},
	}
}
