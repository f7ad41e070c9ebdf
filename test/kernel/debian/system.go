package debian

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A System is the recipe of a small system of the distribution.
type System struct {
	// Name is part of its file's.
	Name string
	// Packages are installed beyond the least there is, with commas between.
	Packages string
	// Setup is what a shell does in it afterwards.
	Setup string
	// Kernel is the one whose modules it has, if any.
	Kernel *Kernel
	// Size is that of its disk in bytes, most of which is a hole in the file.
	Size int64
}

// Plain has what is needed for systemd to start it, for people to log in, and to become root by
// sudo. dbus-broker is there for those who start it in the place of dbus-daemon.
var Plain = System{
	Name:     "system",
	Packages: "systemd,systemd-sysv,dbus,dbus-broker,libpam-systemd,sudo,udev,login",
	Setup:    systemSetup,
	Size:     512 << 20,
}

// systemSetup is what a system gets beyond its packages: Alice, who may become root. The rest is
// left out for a quicker boot.
const systemSetup = `set -e
useradd --create-home --shell /bin/bash --uid 1000 alice
echo 'alice ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/alice
echo guest > /etc/hostname
echo '127.0.0.1 localhost guest' > /etc/hosts
: > /etc/fstab
for tty in 1 2; do
  for user in alice root; do
    [ $user.$tty = alice.1 ] || [ $user.$tty = root.2 ] || continue
    dir=/etc/systemd/system/serial-getty@ttyS$tty.service.d
    mkdir -p $dir
    printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin %s --noclear --keep-baud 115200 %%I dumb\n' $user > $dir/user.conf
    ln -s /lib/systemd/system/serial-getty@.service /etc/systemd/system/getty.target.wants/serial-getty@ttyS$tty.service
  done
done
systemctl mask getty@tty1.service serial-getty@ttyS0.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
  e2scrub_reap.service systemd-pstore.service fstrim.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer systemd-random-seed.service systemd-hwdb-update.service
rm -f /etc/systemd/system/dbus.service
rm -rf /usr/share/doc /usr/share/man /usr/share/locale /var/cache/apt /var/lib/apt/lists
`

// SuiteVariable is the environment variable that names the suite of which systems are made, where it
// is another than this machine's, of the same distribution.
const SuiteVariable = "EPITAPH_SUITE"

// Fetch makes a disk with the system, by debootstrap, in the folder, unless it is there.
func (s System) Fetch(ctx context.Context, out io.Writer, cache string) (disk string, err error) {
	own, err := codename()
	if err != nil {
		return "", err
	}
	suite := cmp.Or(os.Getenv(SuiteVariable), own)
	disk = filepath.Join(cache, s.file(suite))
	if _, err := os.Stat(disk); err == nil {
		return disk, nil
	}
	if err := installDebootstrap(ctx, out); err != nil {
		return "", err
	}
	mirror, err := mirrorOf(ctx, own)
	if err != nil {
		if err := refresh(ctx, out); err != nil {
			return "", err
		}
		if mirror, err = mirrorOf(ctx, own); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	unfinished, err := os.MkdirTemp(cache, ".system-")
	if err != nil {
		return "", fmt.Errorf("make the system's folder: %w", err)
	}
	defer os.RemoveAll(unfinished)
	fmt.Fprintf(out, "making a %s of %s\n", s.Name, suite)
	image := filepath.Join(unfinished, "disk")
	for _, command := range s.commands(suite, mirror, filepath.Join(unfinished, "root"), image) {
		if _, err := run(ctx, "", command[0], command[1:]...); err != nil {
			return "", err
		}
	}
	// Another run may have been faster.
	if err := os.Rename(image, disk); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("put the system in its place: %w", err)
	}
	return disk, nil
}

// file is the name of its disk, which says all that the disk depends on.
func (s System) file(suite string) string {
	recipe := s.Packages + s.Setup
	if s.Kernel != nil {
		recipe += s.Kernel.Release
	}
	sum := sha256.Sum256([]byte(recipe))
	return fmt.Sprintf("%s-%s-%x", s.Name, suite, sum[:8])
}

// commands make it in the folder, and a disk of that.
func (s System) commands(suite, mirror, root, image string) [][]string {
	all := [][]string{
		{"debootstrap", "--variant=minbase", "--include=" + s.Packages, suite, root, mirror},
		{"chroot", root, "/bin/sh", "-c", s.Setup},
	}
	if s.Kernel != nil {
		modules := filepath.Join(root, "lib", "modules")
		all = append(all, []string{"mkdir", "-p", modules},
			[]string{"cp", "-a", filepath.Dir(s.Kernel.modules), modules},
			[]string{"chroot", root, "depmod", s.Kernel.Release})
	}
	return append(all, []string{"truncate", "--size", fmt.Sprint(s.Size), image},
		[]string{"mkfs.ext4", "-q", "-F", "-d", root, image})
}

func installDebootstrap(ctx context.Context, out io.Writer) error {
	if _, err := exec.LookPath("debootstrap"); err == nil {
		return nil
	}
	fmt.Fprintln(out, "installing debootstrap")
	if err := refresh(ctx, out); err != nil {
		return err
	}
	_, err := run(ctx, "", "apt-get", "install", "-y", "-q", "--no-install-recommends",
		"debootstrap")
	return err
}

// codename is the distribution's (man 5 os-release).
func codename() (string, error) {
	content, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", fmt.Errorf("find out which distribution this is: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`), nil
		}
	}
	return "",
		errors.New("find out which distribution this is: /etc/os-release names no VERSION_CODENAME")
}

// mirrorOf is where this machine gets the distribution from.
func mirrorOf(ctx context.Context, suite string) (string, error) {
	sites, err := run(ctx, "", "apt-get", "indextargets", "--format", "$(REPO_URI)",
		"Created-By: Packages", "Codename: "+suite)
	if err != nil {
		return "", err
	}
	mirror, _, _ := strings.Cut(sites, "\n")
	if mirror == "" {
		return "", fmt.Errorf("find a mirror: apt has no list of packages of %s", suite)
	}
	return mirror, nil
}
