package configfs_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/test/netconsolefs"
)

var userdata = []configfs.Datum{{Key: "epitaph-node", Value: "n1"},
	{Key: "epitaph-token", Value: "5ec2e7"}}

func target(listener string) configfs.Target {
	addr := netip.MustParseAddrPort(listener)
	source := netip.MustParseAddrPort("10.0.0.2:665")
	if addr.Addr().Is6() {
		source = netip.MustParseAddrPort("[fd00::2]:665")
	}
	return configfs.Target{Device: "eth0", Source: source, Listener: addr,
		NextHop: "02:00:00:00:00:09"}
}

func TestSet(t *testing.T) {
	t.Parallel()
	for name, version := range netconsolefs.Versions {
		for _, listener := range []string{"10.0.0.9:6666", "[fd00::9]:6666"} {
			t.Run(name+" "+listener, func(t *testing.T) {
				t.Parallel()
				files := netconsolefs.New(version)
				kernel, want := configfs.On(files), target(listener)
				// Twice: what is right already is left alone.
				for _, wantMade := range []bool{true, false} {
					if made, err := kernel.Set(want, userdata); err != nil || made != wantMade {
						t.Fatalf("Set = %v, %v, want %v", made, err, wantMade)
					}
				}
				if takes := kernel.TakesUserdata(want); takes != version.Userdata {
					t.Errorf("TakesUserdata = %v", takes)
				}
				if said := files.Said(); len(said) > 0 {
					t.Errorf("the kernel says %q", said)
				}
				found, err := kernel.Found()
				if err != nil {
					t.Fatal(err)
				}
				wantFound := []configfs.Found{{Name: want.Name(), Target: want, Enabled: true}}
				if diff := cmp.Diff(wantFound, found,
					cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if extended, _ := files.Read(want.Name() + "/extended"); extended != "1" {
					t.Error("the format is not extended")
				}
				if release, err := files.Read(want.Name() + "/release"); version.Release &&
					(err != nil || release != "1") {
					t.Errorf("release is %q, %v", release, err)
				}
				secret, mode, ok := files.Value(want.Name(), "epitaph-token")
				if ok != version.Userdata || ok && (secret != "5ec2e7" || mode != 0o600) {
					t.Errorf("the token is %q with mode %v, %v", secret, mode, ok)
				}
				callers := slices.DeleteFunc([]string{"cpu_nr_enabled", "taskname_enabled"},
					func(s string) bool { return !slices.Contains(version.Sysdata, s) })
				if diff := cmp.Diff(callers, files.Switched(want.Name()),
					cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("the switches that are on (-want +got):\n%s", diff)
				}
				if err := kernel.Remove(want.Name()); err != nil {
					t.Error(err)
				}
				if left := files.Names(); len(left) > 0 {
					t.Errorf("%v is left", left)
				}
			})
		}
	}
}

// What the kernel has disabled, or somebody has changed, is created anew.
func TestSetMends(t *testing.T) {
	t.Parallel()
	mine := target("10.0.0.9:6666")
	tests := map[string]func(t *testing.T, files *netconsolefs.Kernel){
		"the device went and came back": func(_ *testing.T, files *netconsolefs.Kernel) {
			files.Unplug("eth0")
			files.Device("eth0", nil)
		},
		"somebody changed it": func(t *testing.T, files *netconsolefs.Kernel) {
			for _, w := range [][2]string{{"enabled", "0"}, {"remote_mac", "02:00:00:00:00:66"},
				{"enabled", "1"}} {
				if err := files.Write(mine.Name()+"/"+w[0], w[1]); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
	for name, happen := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := netconsolefs.New(netconsolefs.Versions["6.14"])
			kernel := configfs.On(files)
			if _, err := kernel.Set(mine, userdata); err != nil {
				t.Fatal(err)
			}
			happen(t, files)
			if _, err := kernel.Set(mine, userdata); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"10.0.0.9:6666 by 02:00:00:00:00:09"},
				files.Speaking()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSetRefused(t *testing.T) {
	t.Parallel()
	mine := target("10.0.0.9:6666")
	tests := map[string]struct {
		happen   func(files *netconsolefs.Kernel)
		wantCode fault.Code
		want     string
	}{
		"the device is enslaved": {
			func(files *netconsolefs.Kernel) { files.Device("eth0", syscall.EBUSY) },
			fault.UnsuitableDevice,
			"enable netconsole on device eth0: write netconsole/NAME/enabled: device or resource busy: the device belongs to a bond, a bridge or a VRF, and netconsole needs the one above it: give that one the route to the listener",
		},
		"the driver has no netpoll": {
			func(files *netconsolefs.Kernel) { files.Device("eth0", syscall.Errno(524)) },
			fault.UnsuitableDevice,
			"enable netconsole on device eth0: write netconsole/NAME/enabled: errno 524: its driver cannot send from a dying kernel (no netpoll): give a device with another driver the route to the listener",
		},
		"another network namespace": {
			func(files *netconsolefs.Kernel) { files.Unplug("eth0") },
			fault.UnsuitableDevice,
			"enable netconsole on device eth0: write netconsole/NAME/enabled: no such device: the kernel does not see it: run the agent in the network namespace of the host (hostNetwork: true)",
		},
		"no address": {
			func(files *netconsolefs.Kernel) { files.Device("eth0", syscall.EDESTADDRREQ) },
			fault.UnsuitableDevice,
			"enable netconsole on device eth0: write netconsole/NAME/enabled: destination address required: the device has no address of the listener's family: give it one",
		},
		"no permission": {
			func(files *netconsolefs.Kernel) { files.Deny(syscall.EACCES) },
			fault.NoPermission,
			"make netconsole target NAME: mkdir netconsole/NAME: permission denied: run the agent as root, with /sys/kernel/config mounted read-write and no AppArmor profile that forbids writing to /sys",
		},
		"mounted read-only": {
			func(files *netconsolefs.Kernel) { files.Deny(syscall.EROFS) },
			fault.NoPermission,
			"make netconsole target NAME: mkdir netconsole/NAME: read-only file system: run the agent as root, with /sys/kernel/config mounted read-write and no AppArmor profile that forbids writing to /sys",
		},
		"reported otherwise": {
			func(files *netconsolefs.Kernel) { files.Lie("02:00:00:00:00:66") },
			fault.TargetRefused,
			"the kernel reports another netconsole target than was set: 10.0.0.9:6666 from 10.0.0.2:665 by eth0, 02:00:00:00:00:66 instead of 10.0.0.9:6666 from 10.0.0.2:665 by eth0, 02:00:00:00:00:09: look for another program that writes to netconsole's configfs",
		},
		"something else": {
			func(files *netconsolefs.Kernel) { files.Device("eth0", syscall.ENOMEM) },
			fault.TargetRefused,
			"enable netconsole on device eth0: write netconsole/NAME/enabled: cannot allocate memory: the kernel's log says why (dmesg | grep netconsole)",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := netconsolefs.New(netconsolefs.Versions["6.9"])
			tc.happen(files)
			_, err := configfs.On(files).Set(mine, userdata)
			if err == nil || fault.Of(err).Code != tc.wantCode {
				t.Fatalf("Set = %v, want %s", err, tc.wantCode)
			}
			if got := strings.ReplaceAll(fault.Of(err).Error(), mine.Name(),
				"NAME"); got != tc.want {
				t.Errorf("it says\n  %s\nwant\n  %s", got, tc.want)
			}
			files.Deny(nil)
			if left := files.Names(); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

// The ways to one listener have different names, so that a new target can be created beside the old
// one.
func TestName(t *testing.T) {
	t.Parallel()
	one, other := target("[fd00::9]:6666"), target("[fd00::9]:6666")
	other.NextHop = "02:00:00:00:00:0a"
	if one.Name() == other.Name() || one.Name() != target("[fd00::9]:6666").Name() {
		t.Errorf("the names are %s and %s", one.Name(), other.Name())
	}
	if !strings.HasPrefix(one.Name(), "epitaph-fd00--9-6666-") {
		t.Errorf("the name is %s", one.Name())
	}
}

func TestForeignTargetsAreLeftAlone(t *testing.T) {
	t.Parallel()
	files := netconsolefs.New(netconsolefs.Versions["6.14"])
	if err := errors.Join(files.Mkdir("cmdline0"), files.Mkdir("theirs"),
		files.Mkdir("theirs/userdata/epitaph-token")); err != nil {
		t.Fatal(err)
	}
	kernel := configfs.On(files)
	if found, err := kernel.Found(); err != nil || len(found) > 0 {
		t.Errorf("Found = %v, %v", found, err)
	}
	if err := kernel.Remove("theirs"); err == nil ||
		err.Error() != "remove netconsole target theirs: it is not ours" {
		t.Errorf("Remove = %v", err)
	}
	if _, _, ok := files.Value("theirs", "epitaph-token"); !ok {
		t.Error("the userdata of a foreign target is gone")
	}
}

func TestUserdata(t *testing.T) {
	t.Parallel()
	for name, version := range netconsolefs.Versions {
		files := netconsolefs.New(version)
		kernel, mine := configfs.On(files), target("10.0.0.9:6666")
		// A target is first enabled without a secret, and gets it while it is enabled.
		for _, all := range [][]configfs.Datum{userdata[:1], userdata} {
			if _, err := kernel.Set(mine, all); err != nil {
				t.Fatal(err)
			}
		}
		want := ""
		if version.Userdata {
			want = "5ec2e7"
		}
		if got, err := kernel.Userdata("epitaph-token"); got != want || err != nil {
			t.Errorf("%s: the token is %q, %v, want %q", name, got, err, want)
		}
		if len(files.Said()) > 0 || len(files.Speaking()) != 1 {
			t.Errorf("%s: it says %q and speaks to %v", name, files.Said(), files.Speaking())
		}
	}
}

// If the userdata leaves no room, or the switch is refused, the target works without it.
func TestNoRoomForSysdata(t *testing.T) {
	t.Parallel()
	var much []configfs.Datum
	for n := range 16 {
		much = append(much, configfs.Datum{Key: fmt.Sprintf("k%d", n), Value: "v"})
	}
	files := netconsolefs.New(netconsolefs.Versions["6.14"])
	mine := target("10.0.0.9:6666")
	if _, err := configfs.On(files).Set(mine, much); err != nil {
		t.Fatal(err)
	}
	if on := files.Switched(mine.Name()); len(on) > 0 || len(files.Speaking()) != 1 {
		t.Errorf("%q are on, and it speaks to %v", on, files.Speaking())
	}
}

// An agent newer than its target turns the switches on while the target is enabled, and each only
// once.
func TestSysdataOfATargetThatSpeaks(t *testing.T) {
	t.Parallel()
	files := netconsolefs.New(netconsolefs.Versions["7.3"])
	kernel, mine := configfs.On(files), target("10.0.0.9:6666")
	if _, err := kernel.Set(mine, userdata); err != nil {
		t.Fatal(err)
	}
	if err := files.Write(mine.Name()+"/userdata/taskname_enabled", "0"); err != nil {
		t.Fatal(err)
	}
	if made, err := kernel.Set(mine, userdata); made || err != nil {
		t.Fatalf("Set = %v, %v", made, err)
	}
	if on := files.Switched(mine.Name()); len(on) != 2 || len(files.Said()) > 0 {
		t.Errorf("%q are on, and the kernel says %q", on, files.Said())
	}
}

func TestTooMuchUserdata(t *testing.T) {
	t.Parallel()
	var much []configfs.Datum
	for n := range 17 {
		much = append(much, configfs.Datum{Key: fmt.Sprintf("k%d", n), Value: "v"})
	}
	files := netconsolefs.New(netconsolefs.Versions["6.9"])
	_, err := configfs.On(files).Set(target("10.0.0.9:6666"), much)
	if err == nil || !strings.HasSuffix(err.Error(),
		"no space left on device: the kernel takes no more userdata for a target") {
		t.Errorf("Set = %v", err)
	}
}
