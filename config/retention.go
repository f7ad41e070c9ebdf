package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Retention configures how long obituaries are kept, and how many. It holds for those that there
// are, whatever is switched on.
type Retention struct {
	Pods  PodRetention  `json:"pods"`
	Nodes NodeRetention `json:"nodes"`
}

// PodRetention is about the obituaries of pods.
type PodRetention struct {
	// MaxAge is how long an obituary is kept.
	MaxAge metav1.Duration `json:"maxAge" validate:"mindur=1h,maxdur=87600h"`
	// MaxPerNamespace is how many obituaries a namespace keeps; the oldest go first.
	MaxPerNamespace int `json:"maxPerNamespace" validate:"min=1,max=100000"`
}

// NodeRetention is about the obituaries of nodes.
type NodeRetention struct {
	// MaxAge is how long an obituary is kept.
	MaxAge metav1.Duration `json:"maxAge" validate:"mindur=1h,maxdur=87600h"`
	// Max is how many obituaries are kept; the oldest go first.
	Max int `json:"max" validate:"min=100,max=1000000"`
}

func defaultRetention() Retention {
	week := metav1.Duration{Duration: 7 * 24 * time.Hour}
	return Retention{
		Pods:  PodRetention{MaxAge: week, MaxPerNamespace: 1000},
		Nodes: NodeRetention{MaxAge: week, Max: 10000},
	}
}
