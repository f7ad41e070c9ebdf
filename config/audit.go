package config

import "github.com/epitaph-k8s/epitaph/reason"

// Audit configures which of the pods that left have an obituary. All of them are counted.
type Audit struct {
	Enabled bool `json:"enabled"`
	// Classes of codes that are recorded.
	Classes []string `json:"classes" validate:"dive,oneof=disruption unexplained routine"`
	// Codes that are recorded although their class is not.
	Codes []reason.Code `json:"codes" validate:"dive,anycode"`
	// Events says what is recorded in Events as well: on the pod, its owner and its node.
	Events bool `json:"events"`
	// Workers is how many obituaries are written at the same time at most: one as long as they are
	// in time, and one more for each second that they are late.
	Workers int     `json:"workers" validate:"min=1,max=256"`
	Reports Reports `json:"reports"`
}

func defaultAudit() Audit {
	return Audit{
		Enabled: true,
		Classes: []string{reason.Disruption.String(), reason.NoExplanation.String()},
		// Routine to the cluster, and yet what somebody will ask about.
		Codes: []reason.Code{reason.UserRequest, reason.LimitExceeded, reason.DeadlineExceeded,
			reason.JobFailed},
		Events:  true,
		Workers: 16,
		Reports: defaultReports(),
	}
}
