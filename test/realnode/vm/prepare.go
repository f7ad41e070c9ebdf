//go:build linux

package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/kernel/debian"
	"github.com/epitaph-k8s/epitaph/test/kernel/firstroot"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/realnode"
)

const (
	// diskSize is that of each disk, most of which is a hole in the file.
	diskSize = 2 << 30
	// runtimeLimit is how long containerd has until it answers.
	runtimeLimit = 2 * time.Minute
	poll         = 100 * time.Millisecond
)

// distribution is debian.Plain with what runs containers, and with AppArmor, as Debian has it.
func distribution(k debian.Kernel) debian.System {
	s := debian.Plain
	s.Name, s.Kernel, s.Size = "node", &k, diskSize
	s.Packages += ",kmod,iproute2,iptables,apparmor,ca-certificates" +
		",containerd,runc,containernetworking-plugins"
	return s
}

// Prepared is what machines are made of.
type Prepared struct {
	QEMU, Kernel, Release string
	// Files are those of the first root, before what a machine is given.
	Files []initramfs.File
	// Disks are the distribution, and the kubelet with all images.
	Disks []string
}

const preparedFile = "machine.json"

// ErrNotHere is why no machine can be had here, as opposed to what went wrong.
var ErrNotHere = errors.New("no machine can be had here")

// Missing is ErrNotHere, with what a machine would lack here that cannot be fetched; nil if it lacks
// nothing.
func Missing() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("%w: no kernel for %s", ErrNotHere, runtime.GOARCH)
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("%w: no network device: %w", ErrNotHere, err)
	}
	if missing := debian.Missing(); missing != "" {
		return fmt.Errorf("%w: no %s", ErrNotHere, missing)
	}
	return nil
}

// Prepare fetches, or finds in the caches, what machines are made of, and notes it in the folder,
// which has to stay while machines run. The node's parts are those of realnode.Prepare; images are
// further OCI archives.
func Prepare(ctx context.Context, out io.Writer, dir string, node realnode.Prepared,
	images ...string) error {
	cache, err := binaries.CacheDir()
	if err != nil {
		return err
	}
	p, kernel, err := fetch(ctx, out, cache)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotHere, err)
	}
	if p.Files, err = firstFiles(ctx, kernel, dir); err != nil {
		return err
	}
	began := time.Now()
	disk, err := nodeDisk(ctx, dir, node.Kubelet, slices.Concat(node.Images, images))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "RESULT vm_images_s %.1f s\n", time.Since(began).Seconds())
	p.Disks = append(p.Disks, disk)
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, preparedFile), content, 0o600)
}

// ReadPrepared is what Prepare noted.
func ReadPrepared(dir string) (p Prepared, err error) {
	content, err := os.ReadFile(filepath.Join(dir, preparedFile))
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(content, &p)
}

// fetch gets what others have made. The kernel is one that signs, by default.
func fetch(ctx context.Context, out io.Writer, cache string) (p Prepared, k debian.Kernel,
	err error) {
	if p.QEMU, err = debian.InstallQEMU(ctx, out); err != nil {
		return p, k, err
	}
	if k, err = debian.FetchKernel(ctx, out, cache); err != nil {
		return p, k, err
	}
	if os.Getenv(debian.PackagesVariable) == "" {
		if k, err = k.FetchSigning(ctx, out, cache); err != nil {
			return p, k, err
		}
	}
	p.Kernel, p.Release = k.Image, k.Release
	disk, err := distribution(k).Fetch(ctx, out, cache)
	p.Disks = []string{disk}
	return p, k, err
}

// firstFiles are our init, what it needs to find the disks, and ramoops. netconsole is for the
// agent to load.
func firstFiles(ctx context.Context, k debian.Kernel, dir string) ([]initramfs.File, error) {
	path := filepath.Join(dir, "guest")
	if err := binaries.Static(ctx, "test/kernel/guest", path); err != nil {
		return nil, err
	}
	guest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	files, err := firstroot.Files(ctx, k, guest)
	if err != nil {
		return nil, err
	}
	for kind, names := range map[string][]string{"disk": {"virtio_blk", "ext4"},
		"ramoops": {"ramoops"}} {
		modules, err := firstroot.Modules(ctx, k, kind, names...)
		if err != nil {
			return nil, err
		}
		files = append(files, modules...)
	}
	return append(files, firstroot.Folder("given"), firstroot.Folder("given/epitaph"),
		firstroot.Program("given/epitaph/guest", guest)), nil
}

// nodeDisk makes the second disk.
func nodeDisk(ctx context.Context, dir, kubelet string, images []string) (string, error) {
	root, disk := filepath.Join(dir, "node-root"), filepath.Join(dir, "node-disk")
	defer os.RemoveAll(root)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	if err := unpack(ctx, dir, filepath.Join(root, containerdFolder), images); err != nil {
		return "", err
	}
	for _, command := range [][]string{
		{"cp", kubelet, filepath.Join(root, kubeletProgram)},
		{"truncate", "--size", fmt.Sprint(diskSize), disk},
		{"mkfs.ext4", "-q", "-F", "-d", root, disk},
	} {
		if said, err := exec.CommandContext(ctx, command[0],
			command[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("make the disk of images: %s: %w\n%s", command[0], err, said)
		}
	}
	return disk, nil
}

// unpack has this machine's containerd import the images into the folder.
func unpack(ctx context.Context, dir, root string, images []string) error {
	state, err := os.MkdirTemp("", "epitaph-ctr-") // a socket's path must be short
	if err != nil {
		return err
	}
	defer os.RemoveAll(state)
	socket, config := filepath.Join(state, "sock"), filepath.Join(dir, "unpack.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, unpackConfig, root, state, socket),
		0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	daemon := exec.CommandContext(ctx, "containerd", "--config", config)
	daemon.Cancel = func() error { return daemon.Process.Signal(syscall.SIGTERM) }
	daemon.WaitDelay = runtimeLimit
	// What it mounts is nobody else's business.
	daemon.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := daemon.Start(); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	err = importAll(ctx, socket, images)
	cancel()
	_ = daemon.Wait() // it ends by our signal
	return err
}

// unpackConfig is that of a containerd that only keeps images.
const unpackConfig = `version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = %q
`

func importAll(ctx context.Context, socket string, images []string) error {
	ctr := func(args ...string) ([]byte, error) {
		return exec.CommandContext(ctx, "ctr", append([]string{"--address", socket,
			"--namespace", "k8s.io"}, args...)...).CombinedOutput()
	}
	for began := time.Now(); ; time.Sleep(poll) {
		said, err := ctr("version")
		if err == nil {
			break
		}
		if time.Since(began) > runtimeLimit || ctx.Err() != nil {
			return fmt.Errorf("containerd does not answer: %w\n%s", err, said)
		}
	}
	for _, image := range images {
		if said, err := ctr("images", "import", image); err != nil {
			return fmt.Errorf("import %s: %w\n%s", image, err, said)
		}
	}
	return nil
}
