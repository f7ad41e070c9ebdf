package story

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Judge returns the verdict on a pod by its record alone. It ignores whether other pods of its Job
// did the work, or the Job's author has allowed a repetition.
func Judge(o *v1alpha1.PodObituary) v1alpha1.Verdict {
	f := Facts{Pod: o}
	return f.forPrograms(f.ofItself()).Verdict
}

// forPrograms adds what programs get besides the answer.
func (f Facts) forPrograms(v Verdict) Verdict {
	v.Started, v.MayStillRun, v.Chargeable = f.started(), f.mayStillRun(), f.chargeable()
	return v
}

// started reports whether any container, init containers included, had started.
func (f Facts) started() v1alpha1.Started {
	switch p := f.progress(); {
	case slices.ContainsFunc(f.spec().Containers, hasRun):
		return v1alpha1.StartedYes
	case f.spec().NodeName == "", f.spec().RefusedAtOnce:
		return v1alpha1.StartedNever
	case p != neverBegan || f.unheard() || f.silentBefore() || f.stillThere():
		return v1alpha1.StartedUnknown
	default:
		return v1alpha1.StartedNever
	}
}

// hasRun reports whether a container had certainly started.
func hasRun(c v1alpha1.ContainerEnd) bool { return began(c) && !untraced(c) }

// stillThere reports whether the pod exists and has not ended yet.
func (f Facts) stillThere() bool { return f.Here && !f.over() }

// mayStillRun reports whether the program may still be running. A kubelet that stops a pod reports
// the end of its containers before the pod is gone. A pod that is gone earlier was removed by
// force, and nobody knows whether its kubelet has stopped it since.
func (f Facts) mayStillRun() v1alpha1.Answer {
	containers := f.spec().Containers
	switch {
	case f.stillThere():
		return v1alpha1.Yes
	case f.spec().NodeName == "" || f.spec().RefusedAtOnce || f.machineIsOff():
		return v1alpha1.No
	case f.unheard() && !f.allEnded():
		return v1alpha1.Yes
	case slices.ContainsFunc(containers, runs) || !f.allEnded() && f.progress() != neverBegan:
		return v1alpha1.Unknown
	default:
		return v1alpha1.No
	}
}

// machineIsOff reports whether the pod ended because its machine was off or its kernel had stopped.
// An instance that was gone is so whatever its cloud says later that it was taken for.
func (f Facts) machineIsOff() bool {
	if a := f.spec().Amended; a != nil && a.Was == string(reason.CloudInstanceGone) {
		return true
	}
	return slices.Contains([]reason.Code{reason.KernelPanic, reason.NodeHalted,
		reason.CloudInstanceGone, reason.OutOfService}, f.code())
}

// allEnded reports whether the end of each container is on record, and none was about to be started
// again.
func (f Facts) allEnded() bool {
	containers := f.spec().Containers
	return len(containers) > 0 && f.spec().ContainersOmitted == 0 &&
		!slices.ContainsFunc(containers, func(c v1alpha1.ContainerEnd) bool {
			return c.State != v1alpha1.Exited || c.ExitCode == nil || untraced(c) || toBeRepeated(c)
		})
}

// chargeable reports whether the program itself caused its end.
func (f Facts) chargeable() v1alpha1.Answer {
	switch p := f.progress(); {
	case f.stillThere():
		return v1alpha1.No
	case f.code() == reason.LimitExceeded, f.code() == reason.DeadlineExceeded:
		return v1alpha1.Yes
	case p == failed:
		return f.ofAFailure()
	case f.disrupted(), p == finished, p == stopped && f.spec().DeletionRequested != nil:
		return v1alpha1.No
	case f.spec().Class == reason.Routine.String() && f.spec().Phase != string(corev1.PodFailed):
		return v1alpha1.No
	default: // Nobody said why, or it had failed before somebody removed it.
		return v1alpha1.Unknown
	}
}

// ofAFailure is for a program that failed before anybody deleted it. If it ran out of memory or was
// killed, its node may be the cause.
func (f Facts) ofAFailure() v1alpha1.Answer {
	for _, c := range f.mains() {
		if c.Reason == "OOMKilled" || killedBySignal(c) {
			return v1alpha1.Unknown
		}
	}
	return v1alpha1.Yes
}
