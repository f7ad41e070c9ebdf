package wire_test

import (
	"fmt"
	"testing"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// What kernels panic of: seen on real ones, or listed in the sources of 7.3.
var panicTexts = []string{
	"sysrq triggered crash",
	"Attempted to kill init! exitcode=0x00000700",
	"Attempted to kill the idle task!",
	"Fatal exception",
	"Fatal exception in interrupt",
	"stack-protector: Kernel stack is corrupted in: smash+0x4d/0x56 [crash]",
	"softlockup: hung tasks",
	"hung_task: blocked tasks",
	"Hard LOCKUP",
	"RCU Stall",
	"Out of memory: system-wide panic_on_oom is enabled",
	"Out of memory: compulsory panic_on_oom is enabled",
	"System is deadlocked on memory",
	"NMI: Not continuing",
	"NMI IOCK error: Not continuing",
	"Fatal machine check",
	"Fatal local machine check",
	"Fatal machine check on current CPU",
	"Fatal machine check from unknown source",
	"Timeout: Not all CPUs entered broadcast exception handler",
	"Machine halted.",
	"VFS: Unable to mount root fs on unknown-block(0,0)",
	"No working init found.  Try passing init= option to kernel.",
	"Requested init /bin/none failed (error -2).",
	"Aiee, killing interrupt handler!",
	"Oopsed too often (kernel.oops_limit is 10000)",
	"kernel: panic_on_warn set ...",
	"kernel: system warned too often (kernel.warn_limit is 1)",
	"panic_on_taint set ...",
	"IRQ stack guard hit",
	"Host injected async #PF in kernel mode",
	"Asynchronous SError Interrupt",
	"IO-APIC + timer doesn't work!  Boot with apic=debug and send a report.",
}

func TestDetectEveryPanic(t *testing.T) {
	t.Parallel()
	for _, text := range panicTexts {
		for format, want := range map[string]wire.Outcome{
			"0,377,5581801,-;Kernel panic - not syncing: %s\n":                       wire.OutcomePanic,
			"7.3.4,0,377,5581801,-,caller=T1;Kernel panic - not syncing: %s\n k=v\n": wire.OutcomePanic,
			"[    5.581801] Kernel panic - not syncing: %s\n":                        wire.OutcomeCandidate,
		} {
			var s wire.Stream
			d := fmt.Sprintf(format, text)
			if e := s.Push([]byte(d), noon); e.Outcome != want || e.Line != text {
				t.Errorf("%q is %s of %q, want %s", d, e.Outcome, e.Line, want)
			}
		}
	}
}

// Kernel text that mentions panics without being one, at the level of a panic, which is worse than
// its real level.
func TestDetectNoLookAlike(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"---[ end Kernel panic - not syncing: sysrq triggered crash ]---",
		"Kernel panic - [169]: segfault at 0 ip 0000000000401000 sp 00007ffe error 4",
		"process '/tmp/Kernel panic - not syncing: fake exec' started with executable stack",
		"mce: [Hardware Error]: Fake kernel panic: Fatal machine check",
		"Memory error not recovered but panic disabled",
		"panic_on_taint: bitmask=0x200 nousertaint=off",
		"Command line: console=ttyS0 panic=10 msg='Kernel panic - not syncing: x'",
		"Rebooting in 10 seconds..",
		"Kernel Offset: 0x2c000000 from 0xffffffff81000000",
		"Shutting down cpus with NMI",
		"SMP: stopping secondary CPUs",
		"sysrq: Trigger a crash",
		"BUG: kernel NULL pointer dereference, address: 0000000000000000",
		"Oops: 0002 [#1] PREEMPT SMP PTI",
		"firmware panic: adapter halted",
		"Kernel panic - not syncing",
		"Kernel panic - not syncing:x",
	} {
		for _, format := range []string{"0,377,5581801,-;%s\n", "[    5.581801] %s\n"} {
			var s wire.Stream
			d := fmt.Sprintf(format, text)
			if e := s.Push([]byte(d), noon); e.Outcome != wire.OutcomeLine || e.Line != "" {
				t.Errorf("%q is %s of %q, want a line", d, e.Outcome, e.Line)
			}
		}
	}
}
