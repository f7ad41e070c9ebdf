package v1alpha1

// A Verdict answers, for programs, what is asked when a Pod is gone: had it begun, may it still be
// at work somewhere, is it to be held against the program, and may it be run again. What is not
// known is unknown, and never a guess. The rules are in docs/batch-users.md.
type Verdict struct {
	// Started is whether any container of the Pod, init containers too, had started.
	// +optional
	Started Started `json:"started,omitempty"`
	// MayStillRun is whether a container of the Pod may be running: yes where nobody saw it stop
	// and its node is only silent or out of the cluster.
	// +optional
	MayStillRun Answer `json:"mayStillRun,omitempty"`
	// Chargeable is whether the end was the program's own doing, as opposed to the platform's or a
	// person's: what counts against a number of tries.
	// +optional
	Chargeable Answer `json:"chargeable,omitempty"`
	// Retry is whether the Pod may be run again.
	Retry Retry `json:"retry"`
	// Basis is what Retry rests on, in one word: docs/batch-users.md has all of them.
	Basis Basis `json:"basis"`
}

// A Basis is what an answer rests on, in one word.
//
// +kubebuilder:validation:MaxLength=32
type Basis string

// Started is whether a Pod had begun.
//
// +kubebuilder:validation:Enum=never;yes;unknown
type Started string

// The answers to whether it had begun.
const (
	StartedNever   Started = "never"
	StartedYes     Started = "yes"
	StartedUnknown Started = "unknown"
)

// An Answer to a question about a Pod that has ended.
//
// +kubebuilder:validation:Enum=yes;no;unknown
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// Retry is whether something may be run again.
//
// +kubebuilder:validation:Enum=safe;no;unknown
type Retry string

// The answers to whether it may be run again.
const (
	// RetrySafe: yes, as far as the platform can tell.
	RetrySafe Retry = "safe"
	// RetryNo: it must not, or it need not.
	RetryNo Retry = "no"
	// RetryUnknown: only somebody who knows the program can tell.
	RetryUnknown Retry = "unknown"
)
