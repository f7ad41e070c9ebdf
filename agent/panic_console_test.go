package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/agent"
	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// The content of /proc/consoles by fs/proc/consoles.c, not recorded from a kernel. If it looked
// otherwise, the release would decide.
const (
	legacyConsoles = "ttyS0                -W- (EC p a)    4:64\nnetcon_ext0          -W- (E  p  )\n"
	lateConsoles   = "ttyS0                -W- (EC  p a)    4:64\nnetcon_ext0          -W- (E  Np  )\n"
)

func TestUnheard(t *testing.T) {
	t.Parallel()
	const unsent = "kernel.panic is %, and Linux RELEASE restarts before it has sent its panic: set agent.clearPanicTimeout, which has its price (docs/agent.md)"
	tests := map[string]struct {
		release, consoles, timeout, printk string
		want                               []string
	}{
		"Linux 6.12": {release: "6.12.117+deb13-cloud-amd64",
			consoles: legacyConsoles, timeout: "10"},
		"Linux 7.3 under a kubelet": {release: "7.3.4+deb13-cloud-amd64",
			consoles: lateConsoles, timeout: "10", want: []string{unsent}},
		"Linux 7.3 that restarts at once": {release: "7.3.4+deb13-cloud-amd64",
			consoles: lateConsoles, timeout: "-1", want: []string{unsent}},
		"Linux 7.3 that stays": {release: "7.3.4+deb13-cloud-amd64",
			consoles: lateConsoles, timeout: "0"},
		"an older one with the newer console": {release: "6.12.0-500.el11", consoles: lateConsoles,
			timeout: "10", want: []string{unsent}},
		"a newer one with the older console": {release: "7.9.1", consoles: legacyConsoles,
			timeout: "10"},
		"consoles that nobody may see": {release: "10.1.0", timeout: "10",
			want: []string{unsent}},
		"consoles without netconsole": {release: "6.1.0",
			consoles: "tty0 -WU (EC Np  ) 4:1\n", timeout: "10"},
		"a console that prints nothing": {release: "6.1.0", timeout: "10", printk: "0\t4\t1\t7\n",
			want: []string{
				"the console's log level is 0, at which the kernel does not even send a panic: set kernel.printk to 1 or more, or agent.consoleLogLevel"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld("6.14", nine)
			a := w.agent(t, func(o *agent.Options) { o.Kernel = tc.release })
			w.setProc(t, "sys/kernel/panic", tc.timeout+"\n")
			if tc.consoles != "" {
				w.setProc(t, "consoles", tc.consoles)
			}
			if tc.printk != "" {
				w.setProc(t, "sys/kernel/printk", tc.printk)
			}
			var got []string
			for _, f := range a.Pass(t.Context()).Faults {
				got = append(got, f.Error())
			}
			for n := range tc.want {
				tc.want[n] = strings.NewReplacer("%", tc.timeout,
					"RELEASE", tc.release).Replace(tc.want[n])
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if now, _ := os.ReadFile(filepath.Join(w.proc, "sys/kernel/panic")); string(
				now) != tc.timeout+"\n" {
				t.Errorf("kernel.panic was set to %s although nobody asked", now)
			}
		})
	}
}

// The kubelet writes 10 at each of its starts; the agent clears it again.
func TestClearPanicTimeout(t *testing.T) {
	t.Parallel()
	w := newWorld("7.3", nine)
	a := w.agent(t, func(o *agent.Options) {
		o.Kernel, o.Config.ClearPanicTimeout, o.Config.ClearWithoutWatchdog = "7.3.4", true, true
	})
	for range 2 {
		w.setProc(t, "sys/kernel/panic", "10\n")
		if r := a.Pass(t.Context()); len(r.Faults) > 0 {
			t.Errorf("faults %v", r.Faults)
		}
		if now, _ := os.ReadFile(filepath.Join(w.proc, "sys/kernel/panic")); !strings.HasPrefix(
			string(now), "0\n") {
			t.Errorf("kernel.panic is %q", now)
		}
	}
	w.setProc(t, "sys/kernel/panic", "10\n")
	if err := os.Rename(filepath.Join(w.proc, "sys"),
		filepath.Join(w.proc, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	r := a.Pass(t.Context())
	if len(r.Faults) != 1 || r.Faults[0].Code != fault.UnexpectedBehavior ||
		!strings.HasSuffix(r.Faults[0].Error(),
			"mount the host's /proc/sys, and name the place in agent.procSys") {
		t.Errorf("faults %v", r.Faults)
	}
	w.speaks(t, nine+by)

	// An older kernel sends first, and is left as the kubelet wants it.
	old := newWorld("6.1", nine)
	b := old.agent(t, func(o *agent.Options) {
		o.Kernel,
			o.Config.ClearPanicTimeout = "6.1.0", true
	})
	b.Pass(t.Context())
	if now, _ := os.ReadFile(filepath.Join(old.proc, "sys/kernel/panic")); string(now) != "10\n" {
		t.Errorf("kernel.panic is %q", now)
	}
}

// Without a watchdog that restarts the machine, kernel.panic stays as it is.
func TestClearPanicTimeoutNeedsAWatchdog(t *testing.T) {
	t.Parallel()
	const remedy = ": have systemd feed a hardware watchdog (RuntimeWatchdogSec), or set agent.clearWithoutWatchdog where something else restarts such machines"
	w := newWorld("7.3", nine)
	watchdogs := t.TempDir()
	a := w.agent(t, func(o *agent.Options) {
		o.Kernel, o.Config.ClearPanicTimeout,
			o.Watchdogs = "7.3.4", true, watchdogs
	})
	for _, step := range []struct{ state, want, wantTimeout string }{
		{"",
			"NoWatchdog: kernel.panic is not set to 0, because a machine that panics would not come back: there is no hardware watchdog" + remedy, "10"},
		{"inactive",
			"NoWatchdog: kernel.panic is not set to 0, because a machine that panics would not come back: watchdog0 (iTCO_wdt) is not fed by user space" + remedy, "10"},
		{"active", "", "0"},
	} {
		if step.state != "" {
			dir := filepath.Join(watchdogs, "watchdog0")
			if err := errors.Join(os.MkdirAll(dir, 0o755),
				os.WriteFile(filepath.Join(dir, "identity"), []byte("iTCO_wdt\n"), 0o644),
				os.WriteFile(filepath.Join(dir, "state"), []byte(step.state+"\n"),
					0o644)); err != nil {
				t.Fatal(err)
			}
		}
		r := a.Pass(t.Context())
		var got string
		for _, f := range r.Faults {
			if f.Code != fault.PanicUnsent {
				got += string(f.Code) + ": " + f.Error()
			}
		}
		now, _ := os.ReadFile(filepath.Join(w.proc, "sys/kernel/panic"))
		if timeout, _, _ := strings.Cut(string(now), "\n"); got != step.want ||
			timeout != step.wantTimeout {
			t.Errorf("state %q: kernel.panic is %q, faults %q, want %q", step.state, timeout, got,
				step.want)
		}
		if warned := slices.Contains(codes(r), fault.PanicUnsent); warned != (step.want != "") {
			t.Errorf("state %q: that the panic would not be sent is said: %v", step.state, warned)
		}
	}
}
