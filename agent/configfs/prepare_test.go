package configfs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/agent/configfs"
	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// A host is a system whose configfs is a directory.
type host struct {
	mounted           bool
	stat, mount, load error
	module            bool
	mounts, loads     int
	dir               string
}

func (h *host) Mounted(string) (bool, error) { return h.mounted, h.stat }

func (h *host) Mount(string) error {
	h.mounts++
	return h.mount
}

func (h *host) Load(module string) error {
	h.loads++
	if h.load == nil && h.module {
		h.stat = nil
		return os.Mkdir(filepath.Join(h.dir, module), 0o755)
	}
	return h.load
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	const loadIt = "load it on the host (modprobe netconsole; at each boot: echo netconsole > /etc/modules-load.d/netconsole.conf), in a kernel that has CONFIG_NETCONSOLE_DYNAMIC"
	tests := map[string]struct {
		host                  host
		there, keepOff        bool
		wantMounts, wantLoads int
		wantCode              fault.Code
		want                  string
	}{
		"all is there":             {host: host{mounted: true}, there: true},
		"the module is loaded":     {host: host{mounted: true, module: true}, wantLoads: 1},
		"all has to be done":       {host: host{module: true}, wantMounts: 1, wantLoads: 1},
		"loaded although not ours": {host: host{mounted: true}, there: true, keepOff: true},
		"configfs is a module, too": {host: host{stat: syscall.ENOENT, module: true}, wantMounts: 1,
			wantLoads: 1},
		"configfs is a module, too, and it may not load": {
			host: host{stat: syscall.ENOENT, load: syscall.EPERM}, wantLoads: 1,
			wantCode: fault.NoPermission,
			want: "load the kernel module netconsole: operation not permitted: " + loadIt +
				", or give the agent CAP_SYS_MODULE",
		},
		"no configfs in the container": {
			host: host{stat: &fs.PathError{Op: "statfs", Path: "/sys/kernel/config",
				Err: syscall.ENOENT}}, wantLoads: 1, wantCode: fault.NoConfigfs,
			want: "look for a configfs at DIR: statfs /sys/kernel/config: no such file or directory: the kernel needs CONFIG_CONFIGFS_FS (modprobe configfs), and a container needs the host's /sys/kernel/config there",
		},
		"no configfs in the kernel": {
			host: host{mount: syscall.ENODEV}, wantMounts: 1, wantCode: fault.NoConfigfs,
			want: "mount configfs at DIR: no such device: the kernel has none: it needs CONFIG_CONFIGFS_FS (modprobe configfs)",
		},
		"it may not mount": {
			host: host{mount: syscall.EPERM}, wantMounts: 1, wantCode: fault.NoPermission,
			want: "mount configfs at DIR: operation not permitted: mount it on the host (mount -t configfs configfs /sys/kernel/config), or give the agent CAP_SYS_ADMIN",
		},
		"the kernel has no such module": {
			host: host{mounted: true}, wantLoads: 1, wantCode: fault.NoModule,
			want: "the kernel has no module netconsole, or its modprobe did not find it: " + loadIt,
		},
		"it may not load": {
			host: host{mounted: true, load: syscall.EPERM}, wantLoads: 1,
			wantCode: fault.NoPermission,
			want: "load the kernel module netconsole: operation not permitted: " + loadIt +
				", or give the agent CAP_SYS_MODULE",
		},
		"it shall not load": {
			host: host{mounted: true, module: true}, keepOff: true, wantCode: fault.NoModule,
			want: "the kernel module netconsole is not loaded, and agent.loadModule is off: " +
				loadIt,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.host.dir = t.TempDir()
			if tc.there {
				if err := os.Mkdir(filepath.Join(tc.host.dir, "netconsole"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			got, err := configfs.Prepare(tc.host.dir, !tc.keepOff, &tc.host)
			if tc.host.mounts != tc.wantMounts || tc.host.loads != tc.wantLoads {
				t.Errorf("%d mounts and %d modules loaded, want %d and %d", tc.host.mounts,
					tc.host.loads, tc.wantMounts, tc.wantLoads)
			}
			if tc.want == "" {
				if err != nil || string(got) != filepath.Join(tc.host.dir, "netconsole") {
					t.Errorf("Prepare = %q, %v", got, err)
				}
				return
			}
			if err == nil || fault.Of(err).Code != tc.wantCode {
				t.Fatalf("Prepare = %v, want %s", err, tc.wantCode)
			}
			if diff := cmp.Diff(tc.want, strings.ReplaceAll(err.Error(), tc.host.dir,
				"DIR")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestScript(t *testing.T) {
	t.Parallel()
	mine := target("10.0.0.9:6666")
	want := strings.ReplaceAll(`mkdir /c/NAME
echo 1 > /c/NAME/extended
echo 1 > /c/NAME/release # where the kernel has it
echo eth0 > /c/NAME/dev_name
echo 10.0.0.2 > /c/NAME/local_ip
echo 665 > /c/NAME/local_port
echo 10.0.0.9 > /c/NAME/remote_ip
echo 6666 > /c/NAME/remote_port
echo 02:00:00:00:00:09 > /c/NAME/remote_mac
mkdir /c/NAME/userdata/epitaph-node && echo n1 > /c/NAME/userdata/epitaph-node/value # where the kernel has it
echo 1 > /c/NAME/userdata/cpu_nr_enabled # where the kernel has it
echo 1 > /c/NAME/userdata/taskname_enabled # where the kernel has it
echo 1 > /c/NAME/enabled`, "NAME", mine.Name())
	if diff := cmp.Diff(want, strings.Join(mine.Script("/c", userdata[:1]), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Write creates no file: one that the kernel did not create is no attribute.
func TestDirectory(t *testing.T) {
	t.Parallel()
	d := configfs.Directory(t.TempDir())
	if err := d.Mkdir("a"); err != nil {
		t.Fatal(err)
	}
	if err := d.Write("a/enabled", "1"); !os.IsNotExist(err) {
		t.Errorf("Write = %v, want that there is no such file", err)
	}
	if err := os.WriteFile(filepath.Join(string(d), "a", "enabled"), []byte("0\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Write("a/enabled", "1"); err != nil {
		t.Error(err)
	}
	if value, err := d.Read("a/enabled"); value != "1" || err != nil {
		t.Errorf("Read = %q, %v", value, err)
	}
	if err := d.Chmod("a/enabled", 0o400); err != nil {
		t.Error(err)
	}
	if names, err := d.List("a"); err != nil || len(names) != 1 || names[0] != "enabled" {
		t.Errorf("List = %v, %v", names, err)
	}
	if err := d.Rmdir("a/enabled"); err == nil {
		t.Error("a file was removed as a directory")
	}
}
