package story

import (
	"fmt"
	"strings"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// containers says how far each container had come.
func (f Facts) containers() []Line {
	var all []Line
	for _, c := range f.spec().Containers {
		all = append(all, f.container(c))
	}
	if n := f.spec().ContainersOmitted; n > 0 {
		all = append(all, say(fmt.Sprintf("The record has no room for %d more containers.", n)))
	}
	switch {
	case len(all) > 0:
		return all
	case f.spec().NodeName == "":
		return lines("It was never assigned to a node, so none of its containers ever started.")
	case f.refused() && f.spec().RefusedAtOnce:
		return lines("Its kubelet refused it at once, so none of its containers ever started.")
	case f.refused():
		return lines(
			"Its kubelet refused it, and no longer reports the state of its containers.")
	default:
		return lines("Its node never reported the state of its containers.")
	}
}

func (f Facts) container(c v1alpha1.ContainerEnd) Line {
	kind := "Container "
	if c.Init {
		kind = "Init container "
	}
	line := say(kind + clean(c.Name) + " ").then(f.state(c)...)
	if c.Restarts > 0 {
		line = line.say("; it had been started again " + times(c.Restarts) + " before")
	}
	if text := clean(c.Message); text != "" && !untraced(c) {
		line = line.say("; it said: " + text)
	}
	return line.say(".")
}

func (f Facts) state(c v1alpha1.ContainerEnd) Line {
	switch c.State {
	case v1alpha1.Running:
		return f.running(c)
	case v1alpha1.Exited:
		return f.exited(c)
	case v1alpha1.NeverStarted:
		return say("had not started" + because(c.Reason))
	default:
		return say("was in the unknown state " + clean(string(c.State)))
	}
}

func (f Facts) running(c v1alpha1.ContainerEnd) Line {
	var since Line
	if c.Started != nil {
		since = say(" since ").at(*c.Started)
	}
	// Whoever ended a pod without its kubelet does not know about its containers.
	if f.Here && !f.over() {
		return say("is running").then(since...)
	}
	return say("was running").then(since...).
		say(" when it was last heard of; nobody saw it end")
}

func (f Facts) exited(c v1alpha1.ContainerEnd) Line {
	if untraced(c) {
		return say("left no trace: its kubelet did not know whether it had run, or how it had ended (ContainerStatusUnknown)")
	}
	s := say("ended")
	if c.Finished != nil {
		s = s.say(" at ").at(*c.Finished)
	}
	switch {
	case c.ExitCode == nil:
		return s.say(", its exit code is not on record")
	case f.toldToStop(c):
		return s.say(" with " + exitCode(*c.ExitCode) + because(c.Reason) +
			", when it had been told to stop or at about that time")
	case killedBySignal(c):
		return s.say(" with " + exitCode(*c.ExitCode) + because(c.Reason) +
			", before anybody deleted the pod")
	default:
		return s.say(" by itself with " + exitCode(*c.ExitCode) + because(c.Reason))
	}
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
