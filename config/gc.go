package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GC configures the collection of pods that no kubelet can terminate any more.
type GC struct {
	// Enabled has orphaned pods collected, in place of the built-in garbage collector.
	Enabled bool `json:"enabled"`
	// Quarantine is how long the pods of a node that left without a reason wait for it to come
	// back.
	Quarantine metav1.Duration `json:"quarantine" validate:"mindur=1s,maxdur=1h"`
	// Resync is how often every pod is examined again, as a safety net.
	Resync metav1.Duration `json:"resync" validate:"mindur=10s,maxdur=24h"`
	// Workers is how many pods are terminated at the same time.
	Workers int `json:"workers" validate:"min=1,max=256"`
	// TerminatedPodThreshold is how many pods that have finished are kept, as
	// kube-controller-manager's --terminated-pod-gc-threshold; 0 keeps all of them.
	TerminatedPodThreshold int     `json:"terminatedPodThreshold" validate:"min=0,max=10000000"`
	Brake                  GCBrake `json:"brake"`
}

// GCBrake holds unexplained deletions back when more nodes disappear than a cluster plausibly
// loses.
type GCBrake struct {
	// Enabled switches the brake on.
	Enabled bool `json:"enabled"`
	// Window is how long a node that left unexplained is counted after its pods are gone; while it
	// has pods, it counts however old it is.
	Window metav1.Duration `json:"window" validate:"mindur=1m,maxdur=24h"`
	// MaxPercent of the nodes may be gone unexplained.
	MaxPercent int `json:"maxPercent" validate:"min=1,max=100"`
	// MinNodes must have left before the brake can hold: in a small cluster one node is a large
	// share.
	MinNodes int `json:"minNodes" validate:"min=1,max=10000"`
}

func defaultGC() GC {
	return GC{
		Enabled:                true,
		Quarantine:             metav1.Duration{Duration: 40 * time.Second},
		Resync:                 metav1.Duration{Duration: 5 * time.Minute},
		Workers:                16,
		TerminatedPodThreshold: 12500,
		Brake: GCBrake{
			Enabled:    true,
			Window:     metav1.Duration{Duration: 10 * time.Minute},
			MaxPercent: 30,
			MinNodes:   5,
		},
	}
}
