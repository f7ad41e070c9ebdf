package story

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// progress is how far a pod's program had come.
type progress uint8

const (
	// unreported: the record does not say.
	unreported progress = iota
	// neverBegan: no container had started.
	neverBegan
	// preparing: only init containers had run.
	preparing
	// partly: some containers had ended, others had not started.
	partly
	// cutOff: a container was running when it was last heard of.
	cutOff
	// stopped: all had ended, at least one of them after it may have been told to.
	stopped
	// failed: all had ended by themselves, not all with code 0.
	failed
	// finished: all had ended by themselves with code 0.
	finished
	// betweenRuns: as finished, but the kubelet was about to start one of them again.
	betweenRuns
)

// progress is judged by the main containers. Init containers only prepare the program.
func (f Facts) progress() progress {
	mains := f.mains()
	switch {
	case slices.ContainsFunc(mains, runs):
		return cutOff
	case f.spec().ContainersOmitted > 0 || slices.ContainsFunc(mains, unclear):
		return unreported
	case len(mains) == 0 && f.spec().NodeName == "":
		return neverBegan
	case len(mains) == 0:
		return unreported
	case !slices.ContainsFunc(mains, began):
		return f.beforeTheProgram()
	case slices.ContainsFunc(mains, waits):
		return partly
	}
	return f.ended(mains)
}

func (f Facts) beforeTheProgram() progress {
	if slices.ContainsFunc(f.spec().Containers, began) {
		return preparing
	}
	return neverBegan
}

func (f Facts) ended(mains []v1alpha1.ContainerEnd) progress {
	switch {
	case slices.ContainsFunc(mains, f.toldToStop):
		return stopped
	case slices.ContainsFunc(mains, unsuccessful):
		return failed
	case slices.ContainsFunc(mains, toBeRepeated):
		return betweenRuns
	default:
		return finished
	}
}

func (f Facts) mains() []v1alpha1.ContainerEnd {
	return slices.DeleteFunc(slices.Clone(f.spec().Containers),
		func(c v1alpha1.ContainerEnd) bool { return c.Init })
}

func runs(c v1alpha1.ContainerEnd) bool  { return c.State == v1alpha1.Running }
func waits(c v1alpha1.ContainerEnd) bool { return c.State == v1alpha1.NeverStarted }

// unclear reports whether the record of c is not reliable.
func unclear(c v1alpha1.ContainerEnd) bool {
	return !runs(c) && !waits(c) && (c.State != v1alpha1.Exited || c.ExitCode == nil || untraced(c))
}

// untraced reports whether the kubelet found no trace of the container when it stopped the pod. It
// then makes up an exit code, even for containers that never started (K8s v1.37
// pkg/kubelet/status/status_manager.go, TerminatePod).
func untraced(c v1alpha1.ContainerEnd) bool { return c.Reason == "ContainerStatusUnknown" }

// toBeRepeated reports whether the kubelet is waiting to start the container again, as with
// restartPolicy Always.
func toBeRepeated(c v1alpha1.ContainerEnd) bool { return c.Reason == "CrashLoopBackOff" }

func began(c v1alpha1.ContainerEnd) bool { return !waits(c) || c.Restarts > 0 || c.Started != nil }

func unsuccessful(c v1alpha1.ContainerEnd) bool { return c.ExitCode != nil && *c.ExitCode != 0 }

// killedBySignal reports whether it ended by SIGKILL or SIGTERM. The kubelet sends both, at a pod's
// deadline and when a probe fails.
func killedBySignal(c v1alpha1.ContainerEnd) bool {
	return c.ExitCode != nil && (*c.ExitCode == firstSignal+9 || *c.ExitCode == firstSignal+15)
}

func (f Facts) succeeded() bool { return f.spec().Phase == string(corev1.PodSucceeded) }

// over reports whether the pod had reached its last phase.
func (f Facts) over() bool {
	return reason.FinishedIn(corev1.PodPhase(f.spec().Phase))
}

// toldToStop reports whether a container that ended may have been told to. Then its exit code, even
// 0, does not say whether its work was done: a program that exits cleanly on SIGTERM looks the same
// as one that had finished.
func (f Facts) toldToStop(c v1alpha1.ContainerEnd) bool {
	switch f.code() {
	case reason.AlreadyEnded, reason.TerminatedPodLimit: // The reason is that it had ended before.
		return false
	case reason.KernelPanic: // It tells nobody to stop; somebody may have before.
		return f.deletedBeforeItsNode() && f.toldByTimes(c)
	// The kubelet stops the pod; its object is deleted later.
	case reason.LimitExceeded, reason.DeadlineExceeded:
		return true
	default:
		return f.toldByTimes(c)
	}
}

// deletedBeforeItsNode reports whether the deletion was, or may have been, requested before the
// node died.
func (f Facts) deletedBeforeItsNode() bool {
	asked := f.spec().DeletionRequested
	return asked != nil && (f.Node == nil || asked.Before(&f.Node.Spec.Removed))
}

func (f Facts) toldByTimes(c v1alpha1.ContainerEnd) bool {
	switch asked := f.spec().DeletionRequested; {
	case f.disrupted() && (asked == nil || f.over()):
		// A kubelet that evicts or shuts down stops a pod long before somebody deletes it. Had the
		// pod ended before that, its code would be AlreadyEnded.
		return true
	case asked == nil:
		// activeDeadlineSeconds: the kubelet stopped it
		return f.spec().Phase == string(corev1.PodFailed) && !unsuccessful(c)
	default:
		return c.Finished == nil || c.Finished.Add(clockSkew).After(asked.Time)
	}
}
