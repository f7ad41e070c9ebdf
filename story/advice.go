package story

import (
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Advice is what a podFailurePolicy would have done for a Job whose pods were disrupted, and the
// lines to add.
type Advice struct {
	// WouldIgnore is how many of the pods that ended it would not have counted as failures: those
	// with the condition DisruptionTarget.
	WouldIgnore int `json:"wouldIgnore"`
	// WouldHaveSaved is set if the Job failed at its backoffLimit, which it would not have reached.
	WouldHaveSaved bool `json:"wouldHaveSaved"`
	// Add are the lines of YAML, from spec on.
	Add string `json:"add"`

	title string
}

// ruleLines are the rule in a podFailurePolicy, from spec on. The field cannot be changed on a Job
// that exists, and demands the restartPolicy (K8s v1.37 pkg/apis/batch/validation, validateJobSpec
// and ValidateJobSpecUpdate).
const (
	ruleLines = `  podFailurePolicy:
    rules:
    - action: Ignore
      onPodConditions:
      - type: DisruptionTarget
`
	neverLines = `  template:
    spec:
      restartPolicy: Never
`
)

// advise returns nil if a podFailurePolicy would have changed nothing, or if the author has one for
// disruptions.
func (w Workload) advise(t told) *Advice {
	if !w.is(reason.JobKind) && !w.is(reason.CronJobKind) {
		return nil
	}
	a := &Advice{}
	swept := 0
	for _, f := range t.ended {
		switch {
		case f.succeeded():
		case f.spec().DisruptionTarget:
			a.WouldIgnore++
		case f.spec().Code == string(reason.JobFailed):
			swept++
		}
	}
	if a.WouldIgnore == 0 || w.JobSpec != nil && hasDisruptionRule(w.JobSpec) {
		return nil
	}
	spec := "spec:\n"
	if w.JobSpec == nil || w.JobSpec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		spec += neverLines
	}
	a.Add = spec + ruleLines
	if w.is(reason.CronJobKind) {
		a.Add = "spec:\n  jobTemplate:\n" + indent(a.Add, "    ")
	}
	a.WouldHaveSaved = w.savedBy(a.WouldIgnore, swept, t.ends.Failed)
	a.title = w.titleOf(a, t)
	return a
}

func hasDisruptionRule(s *batchv1.JobSpec) bool {
	return s.PodFailurePolicy != nil && slices.ContainsFunc(s.PodFailurePolicy.Rules, onDisruption)
}

// savedBy reports whether the Job failed at its backoffLimit, and would not have if so many
// failures had been ignored. It fails when it counts more than that (K8s v1.37 pkg/controller/job,
// syncJob); the pods that it sweeps away because it has failed it counts afterwards, some time.
// Those that failed by themselves counted in any case.
func (w Workload) savedBy(ignored, swept, ofThemselves int) bool {
	if w.Job == nil || w.Job.Spec.BackoffLimit == nil {
		return false
	}
	_, failures := tally(w.Job)
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobFailureTarget} {
		if c := condition(w.Job, t); c != nil && c.Reason == batchv1.JobReasonBackoffLimitExceeded {
			counted := max(failures-ignored-swept, ofThemselves)
			return counted <= int(*w.Job.Spec.BackoffLimit)
		}
	}
	return false
}

func (w Workload) titleOf(a *Advice, t told) string {
	s := fmt.Sprintf("A podFailurePolicy that ignores DisruptionTarget would not have counted %d "+
		"of them", a.WouldIgnore)
	if w.JobSpec == nil {
		s = "Unless it had one already, a" + strings.TrimPrefix(s, "A")
	}
	if a.WouldHaveSaved {
		s += ", and " + w.called() + " would not have failed"
	}
	switch cron := t.cronJob(); {
	case w.JobSpec != nil && w.JobSpec.PodFailurePolicy != nil:
		return s + ". Add the rule to the one it has, when you create it again:"
	case w.is(reason.JobKind) && cron != "":
		return s + ". Add to the Job, in spec.jobTemplate of CronJob " + cron + ":"
	case w.is(reason.JobKind):
		return s + ". Add to the Job, when you create it again:"
	default:
		return s + ". Add to the CronJob:"
	}
}

// lines returns the advice for people; none if there is none.
func (a *Advice) lines() []Line {
	if a == nil {
		return nil
	}
	return append(lines(a.title),
		lines(strings.Split(strings.TrimRight(indent(a.Add, "    "), "\n"), "\n")...)...)
}

func indent(lines, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(lines, "\n"), "\n", "\n"+by) + "\n"
}
