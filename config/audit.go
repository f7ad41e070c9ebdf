package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Audit configures which of the pods that left have an obituary, and how long it is kept. All of them are counted.
type Audit struct {
	Enabled bool `json:"enabled"`
	// Classes of codes that are recorded.
	Classes []string `json:"classes" validate:"dive,oneof=disruption unexplained routine"`
	// Codes that are recorded although their class is not.
	Codes []reason.Code `json:"codes" validate:"dive,anycode"`
	// Retention is how long an obituary is kept.
	Retention metav1.Duration `json:"retention" validate:"mindur=1h,maxdur=87600h"`
	// MaxPerNamespace is how many obituaries a namespace keeps; the oldest go first.
	MaxPerNamespace int `json:"maxPerNamespace" validate:"min=1,max=100000"`
	// Events says what is recorded in Events as well: on the pod, its owner and its node.
	Events bool `json:"events"`
	// Workers is how many obituaries are written at the same time at most: one as long as they are in time, and one more for each
	// second that they are late.
	Workers int     `json:"workers" validate:"min=1,max=256"`
	Reports Reports `json:"reports"`
}

func defaultAudit() Audit {
	return Audit{
		Enabled: true,
		Classes: []string{reason.Disruption.String(), reason.NoExplanation.String()},
		// Routine to the cluster, and yet what somebody will ask about.
		Codes:           []reason.Code{reason.UserRequest, reason.LimitExceeded},
		Retention:       metav1.Duration{Duration: 7 * 24 * time.Hour},
		MaxPerNamespace: 1000,
		Events:          true,
		Workers:         16,
		Reports:         defaultReports(),
	}
}
