package config

import "github.com/epitaph-k8s/epitaph/reason"

// Audit configures which of the pods that left have an obituary. All of them are counted.
type Audit struct {
	// Enabled has obituaries written.
	Enabled bool `json:"enabled"`
	// Classes of codes that are recorded.
	Classes []string `json:"classes" validate:"dive,oneof=disruption unexplained routine"`
	// Codes that are recorded although their class is not.
	Codes []reason.Code `json:"codes" validate:"dive,anycode"`
	// OwnersDeletedByPeople records each pod of an owner that a person deleted or suspended,
	// although its class is not recorded.
	OwnersDeletedByPeople bool `json:"ownersDeletedByPeople"`
	// Labels are the keys of those labels of pods that their obituaries get, to be selected by.
	Labels []string `json:"labels" validate:"max=16,unique,dive,labelkey"`
	// Events says what is recorded in Events as well: on the pod, the controllers above it and its
	// node.
	Events bool `json:"events"`
	// EventsPerSecond bounds those Events, on average; 50 may be written at once. What waits is
	// counted together.
	EventsPerSecond float32 `json:"eventsPerSecond" validate:"min=1,max=100"`
	// Workers is how many obituaries are written at the same time at most: one as long as they are
	// in time, and one more for each second that they are late.
	Workers int `json:"workers" validate:"min=1,max=256"`
	// NamespaceSeries is how many namespaces are told apart by the metric of pods that left; the
	// others count under "other". 0 tells none apart: the metric has no such label.
	NamespaceSeries int     `json:"namespaceSeries" validate:"min=0,max=10000"`
	Reports         Reports `json:"reports"`
}

func defaultAudit() Audit {
	return Audit{
		Enabled: true,
		Classes: []string{reason.Disruption.String(), reason.NoExplanation.String()},
		// Routine to the cluster, and yet what somebody will ask about.
		Codes: []reason.Code{reason.UserRequest, reason.LimitExceeded, reason.DeadlineExceeded,
			reason.JobFailed},
		OwnersDeletedByPeople: true,
		Labels:                obituaryLabels(),
		Events:                true,
		EventsPerSecond:       1,
		Workers:               16,
		Reports:               defaultReports(),
	}
}

// obituaryLabels are labels by which people find their pods. Those by which tools find what they
// manage are not among them: Argo CD would prune an obituary with app.kubernetes.io/instance
// (argoproj/argo-cd docs/user-guide/resource_tracking.md).
func obituaryLabels() []string {
	return []string{"app", "team", "app.kubernetes.io/name", "app.kubernetes.io/component",
		"app.kubernetes.io/part-of", "batch.kubernetes.io/job-name",
		"batch.kubernetes.io/job-completion-index", "jobset.sigs.k8s.io/jobset-name",
		"kueue.x-k8s.io/queue-name", "workflows.argoproj.io/workflow"}
}
