package process

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// An Origin is where a request comes from.
type Origin struct {
	// Verb is what was run: halt, poweroff, reboot, shutdown, kexec or soft-reboot; and Command
	// how: "sudo halt", "systemctl reboot".
	Verb, Command string
	// Kernel says that the kernel itself started it: it overheats, or a hypervisor asks for it
	// (Hyper-V, Xen).
	Kernel bool
	// Login is the UID of the user who had logged in; nil if nobody had.
	Login *uint32
	// UID is the first one other than root's from the process up through its ancestors; nil if all
	// are root's.
	UID *uint32
	// Pod is the UID of the pod that the process belongs to, and Unit its systemd service.
	Pod, Unit string
}

const (
	// maxAncestors bounds how many ancestors are examined.
	maxAncestors = 32
	// kthreadd is the kernel thread that is the parent of everything the kernel itself starts
	// (kernel/umh.c); nobody else can have it as a parent.
	kthreadd = 2
)

// Of returns where the process comes from.
func (p Proc) Of(ctx context.Context, pid int) (Origin, error) {
	// The process may be about to end: read first what goes first.
	commandLine := p.args(ctx, pid)
	first, err := p.read(pid)
	if err != nil {
		return Origin{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	where := placeOf(first.cgroup, p.depth())
	o := Origin{Login: first.login, Pod: where.pod, Unit: where.unit}
	if o.Login == nil {
		o.Login = where.user
	}
	// A process whose command line cannot be read is found all the same.
	args, _ := commandLine()
	o.Verb, o.Command = verbOf(args)
	p.climb(first, &o)
	return o, nil
}

// climb examines the ancestors. One that has ended meanwhile hides only those above it.
func (p Proc) climb(current process, o *Origin) {
	for n := 0; n <= maxAncestors; n++ {
		if o.UID == nil && current.uid != 0 {
			o.UID = &current.uid
		}
		o.Kernel = current.parent == kthreadd
		if current.parent <= kthreadd {
			return
		}
		var err error
		if current, err = p.read(current.parent); err != nil {
			return
		}
		if n == 0 && current.name == "sudo" && o.Command != "" {
			o.Command = "sudo " + o.Command
		}
	}
}

// depth returns how far below the root of the cgroups we are.
func (p Proc) depth() int {
	text, err := p.file(1, "cgroup")
	if err != nil {
		return -1
	}
	return depthOf(cgroupOf(text))
}

// programs are the names that systemctl is called by; programs of other inits have them, too.
var programs = []string{"halt", "poweroff", "reboot", "shutdown"}

// verbs are systemctl's own commands that end the machine.
var verbs = []string{"halt", "poweroff", "reboot", "kexec", "soft-reboot"}

// runlevels are the arguments of init and telinit that do so.
var runlevels = map[string]string{"0": "poweroff", "6": "reboot"}

// verbOf returns what a command line asks for, in words of ours alone: its other words may be
// anything.
func verbOf(args []string) (verb, command string) {
	if len(args) == 0 {
		return "", ""
	}
	program := path.Base(args[0])
	switch {
	case slices.Contains(programs, program):
		return program, program
	case program == "systemctl":
		return verbOfSystemctl(args[1:])
	case (program == "telinit" || program == "init") && len(args) > 1 && runlevels[args[1]] != "":
		return runlevels[args[1]], program + " " + args[1]
	default:
		return "", ""
	}
}

// elsewhere matches the options that refer to another machine.
var elsewhere = regexp.MustCompile(`^(-[HM]|--(host|machine)\b)`)

// verbOfSystemctl returns systemctl's own verb, or the target that it is to start.
func verbOfSystemctl(args []string) (verb, command string) {
	starts := ""
	for _, arg := range args {
		if elsewhere.MatchString(arg) {
			return "", ""
		}
		what, isTarget := strings.CutSuffix(arg, ".target")
		switch {
		case starts == "" && slices.Contains(verbs, arg):
			return arg, "systemctl " + arg
		case starts == "" && (arg == "start" || arg == "isolate"):
			starts = arg
		case starts != "" && isTarget && slices.Contains(verbs, what):
			return what, "systemctl " + starts + " " + arg
		}
	}
	return "", ""
}
