package story

import (
	"fmt"
	"strings"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// containers says how far each container had come.
func (f Facts) containers() []string {
	var lines []string
	for _, c := range f.spec().Containers {
		lines = append(lines, f.container(c))
	}
	if n := f.spec().ContainersOmitted; n > 0 {
		lines = append(lines, fmt.Sprintf("The record has no room for %d more containers.", n))
	}
	switch {
	case len(lines) > 0:
		return lines
	case f.spec().NodeName == "":
		return []string{"It was never assigned to a node, so none of its containers ever started."}
	case f.refused() && f.spec().RefusedAtOnce:
		return []string{"Its kubelet refused it at once, so none of its containers ever started."}
	case f.refused():
		return []string{
			"Its kubelet refused it, and no longer reports the state of its containers."}
	default:
		return []string{"Its node never reported the state of its containers."}
	}
}

func (f Facts) container(c v1alpha1.ContainerEnd) string {
	kind := "Container "
	if c.Init {
		kind = "Init container "
	}
	line := kind + clean(c.Name) + " " + f.state(c)
	if c.Restarts > 0 {
		line += fmt.Sprintf("; it had been started again %s before", times(c.Restarts))
	}
	if text := clean(c.Message); text != "" && !untraced(c) {
		line += "; it said: " + text
	}
	return line + "."
}

func (f Facts) state(c v1alpha1.ContainerEnd) string {
	switch c.State {
	case v1alpha1.Running:
		return f.running(c)
	case v1alpha1.Exited:
		return f.exited(c)
	case v1alpha1.NeverStarted:
		return "had not started" + because(c.Reason)
	default:
		return "was in the unknown state " + clean(string(c.State))
	}
}

func (f Facts) running(c v1alpha1.ContainerEnd) string {
	since := ""
	if c.Started != nil {
		since = " since " + at(*c.Started)
	}
	// Whoever ended a pod without its kubelet does not know about its containers.
	if f.Here && !f.over() {
		return "is running" + since
	}
	return "was running" + since + " when it was last heard of; nobody saw it end"
}

func (f Facts) exited(c v1alpha1.ContainerEnd) string {
	if untraced(c) {
		return "left no trace: its kubelet did not know whether it had run, or how it had ended (ContainerStatusUnknown)"
	}
	s := "ended"
	if c.Finished != nil {
		s += " at " + at(*c.Finished)
	}
	switch {
	case c.ExitCode == nil:
		s += ", its exit code is not on record"
	case f.toldToStop(c):
		s += " with " + exitCode(*c.ExitCode) + because(c.Reason) +
			", when it had been told to stop or at about that time"
	case killedBySignal(c):
		s += " with " + exitCode(*c.ExitCode) + because(c.Reason) +
			", before anybody deleted the pod"
	default:
		s += " by itself with " + exitCode(*c.ExitCode) + because(c.Reason)
	}
	return s
}

// firstSignal is added to the number of the signal that killed a process, by the convention of
// shells that container runtimes keep.
const (
	firstSignal = 128
	lastSignal  = firstSignal + 64
)

func exitCode(code int32) string {
	if code > firstSignal && code <= lastSignal {
		return fmt.Sprintf("code %d (signal %d)", code, code-firstSignal)
	}
	return fmt.Sprintf("code %d", code)
}

// because puts the kubelet's reason in brackets. Error and Completed add nothing to the code.
func because(why string) string {
	if why == "" || why == "Error" || why == "Completed" {
		return ""
	}
	return " (" + clean(why) + ")"
}

func times(n int32) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// named lists the containers that a condition holds for.
func named(all []v1alpha1.ContainerEnd, is func(v1alpha1.ContainerEnd) bool) string {
	var names []string
	for _, c := range all {
		if is(c) {
			names = append(names, clean(c.Name))
		}
	}
	return strings.Join(names, ", ")
}
