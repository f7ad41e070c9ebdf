package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/agent/watchdog"
)

// A panicConsole is what decides whether a kernel with targets sends its panic.
type panicConsole struct {
	release string
	// consoles is the content of /proc/consoles: which drivers print, and how.
	consoles string
	// timeout is kernel.panic: the seconds until a restart, less than 0 for at once, 0 for none.
	timeout int
	// level is the console's log level: only lines below it are printed.
	level int
}

// netconsoleLine finds the flags of netconsole in /proc/consoles (fs/proc/consoles.c):
// "netcon_ext0          -W- (E  Np  )".
var netconsoleLine = regexp.MustCompile(`(?m)^netcon(?:_ext)?[0-9]+ +\S{3} \(([^)]*)\)`)

// sendsLate reports whether a panicking kernel leaves netconsole for the very end, after the
// restart that kernel.panic may ask for: since Linux 7.0 it can only be written without locks,
// which is not safe (CON_NBCON_ATOMIC_UNSAFE; nbcon_atomic_flush_unsafe comes last in vpanic of
// kernel/panic.c). Such a console has the flag N.
func (c panicConsole) sendsLate() bool {
	if m := netconsoleLine.FindStringSubmatch(c.consoles); m != nil {
		return strings.Contains(m[1], "N")
	}
	const first = 7
	major, _, _ := strings.Cut(c.release, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= first
}

// restartsFirst reports whether the kernel would restart before it has sent its panic.
func (c panicConsole) restartsFirst() bool { return c.sendsLate() && c.timeout != 0 }

// unheard returns the reasons why the panic would not be sent.
func (c panicConsole) unheard() []*fault.Fault {
	var all []*fault.Fault
	if c.restartsFirst() {
		all = append(all, fault.New(fault.PanicUnsent, nil,
			fmt.Sprintf("kernel.panic is %d, and Linux %s restarts before it has sent its panic",
				c.timeout, c.release),
			"set agent.clearPanicTimeout, which has its price (docs/agent.md)"))
	}
	if c.level <= 0 {
		all = append(all, fault.New(fault.ConsoleSilent, nil,
			"the console's log level is 0, at which the kernel does not even send a panic",
			"set kernel.printk to 1 or more, or agent.consoleLogLevel"))
	}
	return all
}

// ensurePanicIsSent finds out whether the panic would be sent, and clears kernel.panic if that is
// necessary and allowed.
func (a *Agent) ensurePanicIsSent(r *Result) {
	c, err := a.panicConsole()
	if err != nil {
		r.blame(fault.New(fault.UnexpectedBehavior, err,
			"read how the kernel would panic",
			"mount the host's /proc/sys, and name the place in agent.procSys"))
		return
	}
	if lacking := a.lacking(); c.restartsFirst() && a.Config.ClearPanicTimeout && lacking != "" {
		r.blame(fault.New(fault.NoWatchdog, nil,
			"kernel.panic is not set to 0, because a machine that panics would not come back: "+
				lacking,
			"have systemd feed a hardware watchdog (RuntimeWatchdogSec), or set agent.clearWithoutWatchdog where something else restarts such machines"))
	} else if c.restartsFirst() && a.Config.ClearPanicTimeout {
		if err := write(a.sysctl("panic"), "0"); err != nil {
			r.blame(fault.New(fault.PanicUnsent, err,
				"set kernel.panic to 0, without which the kernel restarts before it has sent its panic",
				"mount the host's /proc/sys writable, and name the place in agent.procSys"))
			return
		}
		a.Log.Info("kernel.panic was set to 0", "was", c.timeout)
		c.timeout = 0
	}
	for _, f := range c.unheard() {
		r.blame(f)
	}
}

// lacking says why the machine would not come back by itself after a panic with kernel.panic=0;
// empty if it would, or need not.
func (a *Agent) lacking() string {
	if a.Config.ClearWithoutWatchdog {
		return ""
	}
	all, err := watchdog.In(a.Watchdogs)
	if err != nil {
		return err.Error()
	}
	return watchdog.Lacking(all)
}

func (a *Agent) sysctl(
	name string) string {
	return filepath.Join(a.Config.ProcSys, "kernel", name)
}

func (a *Agent) panicConsole() (c panicConsole, err error) {
	c.release = a.Kernel
	// Not every process may read it; without it, the release decides.
	if consoles, err := read(filepath.Join(a.Proc, "consoles")); err == nil {
		c.consoles = consoles
	}
	timeout, errTimeout := read(a.sysctl("panic"))
	printk, errPrintk := read(a.sysctl("printk"))
	if err := errors.Join(errTimeout, errPrintk); err != nil {
		return c, err
	}
	level, _, _ := strings.Cut(printk, "\t")
	c.timeout, errTimeout = strconv.Atoi(timeout)
	c.level, errPrintk = strconv.Atoi(level)
	return c, errors.Join(errTimeout, errPrintk)
}

// maxProcBytes bounds what is read of a file in /proc.
const maxProcBytes = 4096

func read(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxProcBytes))
	return strings.TrimSpace(string(data)), errors.Join(err, file.Close())
}

// write writes an existing file.
func write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(value + "\n")
	return errors.Join(err, file.Close())
}
