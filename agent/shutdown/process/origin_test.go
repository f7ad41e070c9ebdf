package process

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is a process as /proc shows it: its name is that of its program.
type fake struct {
	args   string
	parent int
	uid    int
	login  string
	cgroup string
}

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
		for name, content := range map[string]string{
			"status":   fmt.Sprintf("Name:\t%s\nUmask:\t0022\nPPid:\t%d\nUid:\t%d\t0\t0\t0\n", filepath.Base(args[0]), p.parent, p.uid),
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
	return Proc(root)
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
				50: {"/sbin/halt", 49, 0, "1000", session}, 49: {"sudo halt", 40, 0, "1000", session},
				40: {"-bash", 1, 1000, "1000", session}, 1: {"/sbin/init", 0, 0, nobody, "0::/init.scope\n"},
			},
			Origin{Verb: "halt", Command: "sudo halt", Login: id(1000), UID: id(1000)},
		},
		"words of the command line are not repeated": {
			map[int]fake{50: {"shutdown -h now buy_my_coins", 49, 0, "1000", session}, 49: {"sudo shutdown -h now buy_my_coins", 1, 0, "1000", session}},
			Origin{Verb: "shutdown", Command: "sudo shutdown", Login: id(1000)},
		},
		"a root shell that a user got by sudo": {
			map[int]fake{50: {"systemctl --no-wall reboot", 49, 0, "1000", session}, 49: {"bash", 48, 0, "1000", session}, 48: {"sudo -i", 1, 0, "1000", session}},
			Origin{Verb: "reboot", Command: "systemctl reboot", Login: id(1000)},
		},
		"root has logged in": {
			map[int]fake{50: {"poweroff", 40, 0, "0", session}, 40: {"-bash", 1, 0, "0", session}},
			Origin{Verb: "poweroff", Command: "poweroff", Login: id(0)},
		},
		"a user's service without a login": {
			map[int]fake{50: {"systemctl soft-reboot", 49, 0, nobody, "0::/system.slice/ci.service\n"}, 49: {"sudo systemctl soft-reboot", 48, 0, nobody, "0::/system.slice/ci.service\n"}, 48: {"runner", 1, 33, nobody, "0::/system.slice/ci.service\n"}},
			Origin{Verb: "soft-reboot", Command: "sudo systemctl soft-reboot", UID: id(33), Unit: "ci.service"},
		},
		"a service": {
			map[int]fake{50: {"/sbin/shutdown -r now", 1, 0, nobody, "0::/system.slice/apt-daily-upgrade.service\n"}},
			Origin{Verb: "shutdown", Command: "shutdown", Unit: "apt-daily-upgrade.service"},
		},
		"a pod, systemd's cgroups": {
			map[int]fake{50: {"/bin/systemctl reboot", 1, 0, nobody, podV2}},
			Origin{Verb: "reboot", Command: "systemctl reboot", Pod: "0a1b2c3d-0000-4000-8000-00000000beef"},
		},
		"a pod, cgroups of version 1": {
			map[int]fake{50: {"/usr/bin/kured", 1, 0, nobody, podV1}},
			Origin{Pod: "0a1b2c3d-0000-4000-8000-00000000beef"},
		},
		"an ancestor has ended, and the kernel has no audit": {
			map[int]fake{50: {"reboot", 49, 0, "", ""}},
			Origin{Verb: "reboot", Command: "reboot"},
		},
		"systemctl does something else": {
			map[int]fake{50: {"systemctl stop reboot.service", 1, 0, "1000", session}},
			Origin{Login: id(1000)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := procOf(t, tc.processes).Of(50)
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
			dir := filepath.Join(string(p), "50")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "status"), []byte(status), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if o, err := p.Of(50); err == nil {
			t.Errorf("%s: it comes from %+v, want an error", name, o)
		}
	}
}

func TestRunning(t *testing.T) {
	t.Parallel()
	p := procOf(t, map[int]fake{
		7: {args: "/sbin/halt"}, 8: {args: "sudo halt"}, 9: {args: "systemctl status halt.target"}, 10: {args: "/usr/bin/systemctl --force kexec"}, 11: {args: "vi reboot"},
	})
	if err := os.WriteFile(filepath.Join(string(p), "uptime"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := p.Running()
	slices.Sort(got)
	if want := []int{7, 10}; err != nil || !slices.Equal(got, want) {
		t.Errorf("running: %v, %v, want %v", got, err, want)
	}
}

// The test itself is a process.
func TestOfOurselves(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc")
	}
	o, err := Proc("/proc").Of(os.Getpid())
	if err != nil || o.Verb != "" || (o.UID != nil) && os.Getuid() == 0 && *o.UID == 0 {
		t.Errorf("we come from %+v, %v", o, err)
	}
}
