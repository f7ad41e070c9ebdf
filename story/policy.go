package story

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// policy returns the first rule of the Job's podFailurePolicy that matches the pod's end, or nil.
// It is what the Job's author wants after such an end (kubernetes
// pkg/controller/job/pod_failure_policy.go).
func (f Facts) policy() *batchv1.PodFailurePolicyRule {
	j := f.job()
	if j == nil || j.Spec.PodFailurePolicy == nil {
		return nil
	}
	for n, r := range j.Spec.PodFailurePolicy.Rules {
		if r.OnExitCodes != nil && f.exitCodeMatches(r.OnExitCodes) ||
			f.disrupted() && onDisruption(r) {
			return &j.Spec.PodFailurePolicy.Rules[n]
		}
	}
	return nil
}

// ignored reports whether the Job controller should not count the pod's end as a failure. It
// recognises a disruption by the pod's condition.
func (f Facts) ignored() bool {
	return f.toBeIgnored() && (f.policy().OnExitCodes != nil || f.spec().DisruptionTarget)
}

// overlooked reports whether the author wants the end ignored, but the Job controller cannot know:
// a kubelet that fails its pods after a crash of its node does not set the condition.
func (f Facts) overlooked() bool { return f.toBeIgnored() && !f.ignored() }

func (f Facts) toBeIgnored() bool {
	r := f.policy()
	return r != nil && r.Action == batchv1.PodFailurePolicyActionIgnore
}

// afterDisruption returns what the author wants for disrupted pods. Rules about exit codes are
// about the program's own failures.
func (f Facts) afterDisruption() batchv1.PodFailurePolicyAction {
	if r := f.policy(); r != nil && r.OnExitCodes == nil {
		return r.Action
	}
	return ""
}

// onDisruption reports whether a rule is for pods with the condition DisruptionTarget, which is set
// for disruptions only.
func onDisruption(r batchv1.PodFailurePolicyRule) bool {
	return slices.ContainsFunc(r.OnPodConditions,
		func(p batchv1.PodFailurePolicyOnPodConditionsPattern) bool {
			return p.Type == corev1.DisruptionTarget &&
				(p.Status == "" || p.Status == corev1.ConditionTrue)
		})
}

func (f Facts) exitCodeMatches(r *batchv1.PodFailurePolicyOnExitCodesRequirement) bool {
	for _, c := range f.spec().Containers {
		if !unsuccessful(c) || r.ContainerName != nil && *r.ContainerName != c.Name {
			continue
		}
		wanted := r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn
		if slices.Contains(r.Values, *c.ExitCode) == wanted {
			return true
		}
	}
	return false
}
