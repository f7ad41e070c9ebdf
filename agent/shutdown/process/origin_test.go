package process

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fake is a process as /proc shows it: its name is that of its program.
type fake struct {
	args   string
	parent int
	uid    int
	login  string
	cgroup string
	// effective is the UID that it acts as, and caps, in hexadecimal, its capabilities.
	effective int
	caps      string
	// exe is the program, if it may be known.
	exe string
}

const allCaps = "000001ffffffffff"

const nobody = "4294967295"

func procOf(t *testing.T, all map[int]fake) Proc {
	t.Helper()
	root := t.TempDir()
	for pid, p := range all {
		dir := filepath.Join(root, strconv.Itoa(pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		args := strings.Fields(p.args)
		if p.caps == "" {
			p.caps = "0"
		}
		if p.exe != "" {
			if err := os.Symlink(p.exe, filepath.Join(dir, "exe")); err != nil {
				t.Fatal(err)
			}
		}
		for name, content := range map[string]string{
			"status": fmt.Sprintf(
				"Name:\t%s\nUmask:\t0022\nPPid:\t%d\nUid:\t%d\t%d\t0\t0\nCapEff:\t%s\n",
				filepath.Base(args[0]), p.parent, p.uid, p.effective, p.caps),
			"cmdline":  strings.Join(args, "\x00") + "\x00",
			"loginuid": p.login, "cgroup": p.cgroup,
		} {
			if content == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return New(root)
}

func id(n uint32) *uint32 { return &n }

func TestOf(t *testing.T) {
	t.Parallel()
	const (
		session = "0::/user.slice/user-1000.slice/session-3.scope\n"
		podV1   = "12:cpu:/x\n1:name=systemd:/kubepods/besteffort/pod0a1b2c3d-0000-4000-8000-00000000beef/4f2c\n"
		podV2   = "0::/../../kubepods-burstable-pod0a1b2c3d_0000_4000_8000_00000000beef.slice/cri-containerd-4f2c.scope\n"
	)
	tests := map[string]struct {
		processes map[int]fake
		want      Origin
	}{
		"a user by sudo": {
			map[int]fake{
				50: {args: "/sbin/halt", parent: 49, uid: 0, login: "1000", cgroup: session},
				49: {args: "sudo halt", parent: 40, uid: 0, login: "1000", cgroup: session},
				40: {args: "-bash", parent: 1, uid: 1000, login: "1000", cgroup: session},
				1: {args: "/sbin/init", parent: 0, uid: 0, login: nobody,
					cgroup: "0::/init.scope\n"},
			},
			Origin{Verb: "halt", Command: "sudo halt", Login: id(1000), UID: id(1000)},
		},
		"words of the command line are not repeated": {
			map[int]fake{50: {args: "shutdown -h now buy_my_coins", parent: 49, uid: 0,
				login: "1000", cgroup: session}, 49: {args: "sudo shutdown -h now buy_my_coins",
				parent: 1, uid: 0, login: "1000", cgroup: session}},
			Origin{Verb: "shutdown", Command: "sudo shutdown", Login: id(1000)},
		},
		"a root shell that a user got by sudo": {
			map[int]fake{50: {args: "systemctl --no-wall reboot", parent: 49, uid: 0,
				login: "1000", cgroup: session}, 49: {args: "bash", parent: 48, uid: 0,
				login: "1000", cgroup: session}, 48: {args: "sudo -i", parent: 1, uid: 0,
				login: "1000", cgroup: session}},
			Origin{Verb: "reboot", Command: "systemctl reboot", Login: id(1000)},
		},
		"root has logged in": {
			map[int]fake{50: {args: "poweroff", parent: 40, uid: 0, login: "0", cgroup: session},
				40: {args: "-bash", parent: 1, uid: 0, login: "0", cgroup: session}},
			Origin{Verb: "poweroff", Command: "poweroff", Login: id(0)},
		},
		"a user's service without a login": {
			map[int]fake{50: {args: "systemctl soft-reboot", parent: 49, uid: 0, login: nobody,
				cgroup: "0::/system.slice/ci.service\n"}, 49: {args: "sudo systemctl soft-reboot",
				parent: 48, uid: 0, login: nobody,
				cgroup: "0::/system.slice/ci.service\n"}, 48: {args: "runner", parent: 1, uid: 33,
				login: nobody, cgroup: "0::/system.slice/ci.service\n"}},
			Origin{Verb: "soft-reboot", Command: "sudo systemctl soft-reboot", UID: id(33),
				Unit: "ci.service"},
		},
		"a service": {
			map[int]fake{50: {args: "/sbin/shutdown -r now", parent: 1, uid: 0, login: nobody,
				cgroup: "0::/system.slice/apt-daily-upgrade.service\n"}},
			Origin{Verb: "shutdown", Command: "shutdown", Unit: "apt-daily-upgrade.service"},
		},
		"a pod, systemd's cgroups": {
			map[int]fake{50: {args: "/bin/systemctl reboot", parent: 1, uid: 0, login: nobody,
				cgroup: podV2}},
			Origin{Verb: "reboot", Command: "systemctl reboot",
				Pod: "0a1b2c3d-0000-4000-8000-00000000beef"},
		},
		"a pod, cgroups of version 1": {
			map[int]fake{50: {args: "/usr/bin/kured", parent: 1, uid: 0, login: nobody,
				cgroup: podV1}},
			Origin{Pod: "0a1b2c3d-0000-4000-8000-00000000beef"},
		},
		"the kernel, which overheats": {
			map[int]fake{50: {args: "/sbin/poweroff", parent: 2, login: nobody, cgroup: "0::/\n"},
				2: {args: "kthreadd", login: nobody}},
			Origin{Verb: "poweroff", Command: "poweroff", Kernel: true},
		},
		"a service of a user's own, who has no login UID": {
			map[int]fake{50: {args: "systemctl reboot", parent: 1, login: nobody,
				cgroup: "0::/user.slice/user-1000.slice/user@1000.service/app.slice/apt-daily-upgrade.service\n"}},
			Origin{Verb: "reboot", Command: "systemctl reboot", Login: id(1000)},
		},
		"past logind": {
			map[int]fake{50: {args: "systemctl start poweroff.target", parent: 49,
				login: "1000", cgroup: session}, 49: {args: "sudo systemctl start poweroff.target",
				parent: 1, login: "1000", cgroup: session}},
			Origin{Verb: "poweroff", Command: "sudo systemctl start poweroff.target",
				Login: id(1000)},
		},
		"an old habit": {
			map[int]fake{50: {args: "/sbin/telinit 6", parent: 1, login: "0", cgroup: session}},
			Origin{Verb: "reboot", Command: "telinit 6", Login: id(0)},
		},
		"another machine is meant": {
			map[int]fake{50: {args: "systemctl --host=b reboot", parent: 1,
				login: "1000", cgroup: session}},
			Origin{Login: id(1000)},
		},
		"an ancestor has ended, and the kernel has no audit": {
			map[int]fake{50: {args: "reboot", parent: 49, uid: 0, login: "", cgroup: ""}},
			Origin{Verb: "reboot", Command: "reboot"},
		},
		"systemctl does something else": {
			map[int]fake{50: {args: "systemctl stop reboot.service", parent: 1, uid: 0,
				login: "1000", cgroup: session}},
			Origin{Login: id(1000)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := procOf(t, tc.processes).Of(t.Context(), 50)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("the origin (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfNobody(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]string{
		"no process":        "",
		"no user":           "Name:\tx\nPPid:\t1\n",
		"a broken parent":   "Name:\tx\nPPid:\tone\nUid:\t0\t0\t0\t0\n",
		"a user too large":  "Name:\tx\nPPid:\t1\nUid:\t4294967296\t0\t0\t0\n",
		"another process's": "what is this",
	} {
		p := procOf(t, nil)
		if status != "" {
			dir := filepath.Join(p.dir, "50")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status),
				0o644); err != nil {
				t.Fatal(err)
			}
		}
		if o, err := p.Of(t.Context(), 50); err == nil {
			t.Errorf("%s: it comes from %+v, want an error", name, o)
		}
	}
}

// Only those who may switch the machine off are found, whatever others call their programs.
func TestRunning(t *testing.T) {
	t.Parallel()
	p := procOf(t, map[int]fake{
		7:  {args: "/sbin/halt", caps: allCaps, exe: "/usr/bin/systemctl"},
		8:  {args: "sudo halt", caps: allCaps},
		9:  {args: "systemctl status halt.target", caps: allCaps},
		10: {args: "/usr/bin/systemctl --force kexec", caps: allCaps},
		11: {args: "vi reboot", caps: allCaps},
		12: {args: "/home/mallory/reboot", uid: 1001, effective: 1001},
		13: {args: "/usr/bin/reboot", caps: "a80425fb"}, // root of a container
		14: {args: "/opt/reboot", caps: allCaps, exe: "/opt/reboot"},
		15: {args: "systemctl start reboot.target", uid: 1001, caps: allCaps,
			exe: "/usr/bin/systemctl (deleted)"},
		16: {args: "/sbin/init splash", caps: allCaps, exe: "/usr/lib/systemd/systemd"},
	})
	if err := os.WriteFile(filepath.Join(p.dir, "uptime"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := p.Running(t.Context())
	want := []Origin{
		{Verb: "reboot", Command: "systemctl start reboot.target", UID: id(1001)},
		{Verb: "kexec", Command: "systemctl kexec"}, {Verb: "halt", Command: "halt"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("running, the latest first: %v (-want +got):\n%s", err, diff)
	}
}

// A process may hold its command line back for ever: what else is known of it is known.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	p := procOf(t, map[int]fake{50: {args: "reboot", parent: 1, login: "1000"}})
	args := filepath.Join(p.dir, "50", "cmdline")
	if err := os.Remove(args); err != nil {
		t.Fatal(err)
	}
	// Opening a pipe that nobody writes to blocks.
	if err := unix.Mkfifo(args, 0o600); err != nil {
		t.Fatal(err)
	}
	for range maxWaiting + 1 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		o, err := p.Of(ctx, 50)
		cancel()
		if diff := cmp.Diff(Origin{Login: id(1000)}, o); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	}
	// Let go those that wait, and those that only come to wait now.
	for len(p.waiting) > 0 {
		if w, err := os.OpenFile(args, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			_ = w.Close()
		}
		time.Sleep(time.Millisecond)
	}
}

// The test itself is a process.
func TestOfOurselves(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: /proc is missing: only Linux has it")
	}
	o, err := New("/proc").Of(t.Context(), os.Getpid())
	if err != nil || o.Verb != "" || (o.UID != nil) && os.Getuid() == 0 && *o.UID == 0 {
		t.Errorf("we come from %+v, %v", o, err)
	}
}
