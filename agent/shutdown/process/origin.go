package process

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// An Origin is where a request comes from.
type Origin struct {
	// Verb is what was run: halt, poweroff, reboot, shutdown, kexec or soft-reboot; and Command how: "sudo halt", "systemctl reboot".
	Verb, Command string
	// Login is the UID of who had logged in; nil where nobody had.
	Login *uint32
	// UID is the first but root's on the way from the process to its ancestors; nil where all are root's.
	UID *uint32
	// Pod is the UID of the pod that the process belongs to, and Unit the service of systemd.
	Pod, Unit string
}

// maxAncestors bounds how far up one looks.
const maxAncestors = 32

// Of tells where the process comes from.
func (p Proc) Of(pid int) (Origin, error) {
	var o Origin
	first, err := p.read(pid)
	if err != nil {
		return o, fmt.Errorf("look at process %d: %w", pid, err)
	}
	o.Login, o.Pod, o.Unit = first.login, podIn(first.cgroup), unitIn(first.cgroup)
	o.Verb, o.Command = verbOf(first.args)
	for n, current := 0, first; ; n++ {
		if o.UID == nil && current.uid != 0 {
			o.UID = &current.uid
		}
		if n == maxAncestors || current.parent <= 1 {
			return o, nil
		}
		// An ancestor that has ended meanwhile hides only what is above it.
		if current, err = p.read(current.parent); err != nil {
			return o, nil //nolint:nilerr // see above
		}
		if n == 0 && current.name == "sudo" && o.Command != "" {
			o.Command = "sudo " + o.Command
		}
	}
}

// programs are the names that systemctl is called by, and that other inits' programs have, too.
var programs = []string{"halt", "poweroff", "reboot", "shutdown"}

// verbs are what systemctl itself is told.
var verbs = []string{"halt", "poweroff", "reboot", "kexec", "soft-reboot"}

// verbOf tells what a command line asks for, in words of ours alone: its other words may be anything.
func verbOf(args []string) (verb, command string) {
	if len(args) == 0 {
		return "", ""
	}
	program := path.Base(args[0])
	if slices.Contains(programs, program) {
		return program, program
	}
	if program != "systemctl" {
		return "", ""
	}
	for _, arg := range args[1:] {
		if slices.Contains(verbs, arg) {
			return arg, "systemctl " + arg
		}
	}
	return "", ""
}

// podUID is how the kubelet names a pod's cgroup: with hyphens, or, with systemd's cgroup driver, with underscores.
var podUID = regexp.MustCompile(`^(?:kubepods.*-)?pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12})(?:\.slice)?$`)

func podIn(cgroup string) string {
	for _, part := range strings.Split(cgroup, "/") {
		if m := podUID.FindStringSubmatch(part); m != nil {
			return strings.ReplaceAll(m[1], "_", "-")
		}
	}
	return ""
}

// unitIn is the innermost service.
func unitIn(cgroup string) string {
	for _, part := range slices.Backward(strings.Split(cgroup, "/")) {
		if strings.HasSuffix(part, ".service") {
			return part
		}
	}
	return ""
}
