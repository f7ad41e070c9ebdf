//go:build linux

package kernel

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/kernel/debian"
	"github.com/epitaph-k8s/epitaph/test/kernel/firstroot"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// followingFile is the agent's configuration of a machine that follows who listens, and
	// systemFile of the others.
	followingFile = `{"apiVersion": "config.epitaph-k8s.io/v1alpha1", "kind": "Configuration", "agent": {"period": "1s"}}`
	systemFile    = `{"apiVersion": "config.epitaph-k8s.io/v1alpha1", "kind": "Configuration", "agent": {"period": "1s", "listeners": ["HOST:6666"]}}`
	// ourUnit is our program as a service, in place of a kubelet; agentUnit is that of
	// docs/agent.md, with a token.
	ourUnit = `[Unit]
After=systemd-logind.service
[Service]
ExecStart=/run/epitaph/guest
StandardOutput=file:/dev/console
StandardError=inherit
`
	agentUnit = `[Unit]
After=dbus.service
[Service]
EnvironmentFile=/run/epitaph/node
ExecStart=/run/epitaph/epitaph agent --kubeconfig /run/epitaph/kubeconfig --config /run/epitaph/agent.yaml
StandardOutput=file:/dev/console
StandardError=inherit
Restart=always
`
)

func (f fetched) prepareSystem(ctx context.Context, out io.Writer, dir string) error {
	if err := f.prepare(ctx, out, dir); err != nil {
		return err
	}
	cache, err := binaries.CacheDir()
	if err != nil {
		return err
	}
	disk, err := debian.Plain.Fetch(ctx, out, cache)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotHere, err)
	}
	if err := os.Symlink(disk, filepath.Join(dir, "system")); err != nil {
		return err
	}
	epitaph, err := buildStatic(ctx, filepath.Join(dir, "static"), "../../cmd/epitaph")
	if err != nil {
		return err
	}
	// writeInitramfs has built it.
	guest, err := os.ReadFile(filepath.Join(dir, "init"))
	if err != nil {
		return err
	}
	modules, err := firstroot.Modules(ctx, f.kernel, "disk", "virtio_blk", "ext4")
	if err != nil {
		return err
	}
	// What logind and the agent hear the power button by.
	button, err := firstroot.Modules(ctx, f.kernel, "system", "evdev", "button")
	if err != nil {
		return err
	}
	return writeInitramfs(ctx, f.kernel, filepath.Join(dir, "initramfs"),
		slices.Concat(modules, button, []initramfs.File{
			firstroot.Folder("given"), firstroot.Folder("given/epitaph"),
			firstroot.Folder("given/systemd"), firstroot.Folder("given/systemd/system"),
			firstroot.Program("given/epitaph/guest", guest),
			firstroot.Program("given/epitaph/epitaph", epitaph),
			firstroot.Text("given/systemd/system/guest.service", []byte(ourUnit)),
			firstroot.Text("given/systemd/system/epitaph-agent.service", []byte(agentUnit)),
		})...)
}

// A system is a machine with a distribution, which is a node.
type system struct {
	*machine.Machine
	*cluster
	name, proxy string
	device      string
	config      string
	host        netip.Addr
	pods        []string
	boots       int
	bootID      string
	terminals   [2]terminal
	monitor     string
}

// systemOf starts a machine and makes it a node; broker has dbus-broker in the place of
// dbus-daemon.
func (c *cluster) systemOf(t *testing.T, p prepared, dir string, number int, broker bool) *system {
	t.Helper()
	s := &system{cluster: c, name: fmt.Sprintf("system-%d", number),
		host: netip.MustParseAddr(fmt.Sprintf("10.81.%d.1", number))}
	s.device, s.config = fmt.Sprintf("tap%d", number),
		strings.ReplaceAll(systemFile, "HOST", s.host.String())
	takeSeat(t)
	sockets := t.TempDir()
	tap, err := link.Tap(s.device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tap.Close() })
	if err := link.Add(s.device, netip.PrefixFrom(s.host, 24)); err != nil {
		t.Fatal(err)
	}
	s.proxy = c.forward(t, s.host.String()+":0")
	s.monitor = filepath.Join(sockets, "monitor")
	lines := []string{filepath.Join(sockets, "alice"), filepath.Join(sockets, "root")}
	parameters := map[string]string{
		"guest_address": netip.PrefixFrom(s.host.Next(), 24).String(), "guest_system": "1",
		"systemd.wants": "guest.service",
	}
	if broker {
		parameters["guest_broker"] = "1"
	}
	s.Machine, err = machine.Start(machine.Options{
		QEMU: p.QEMU, Kernel: p.Kernel, Initramfs: p.Initramfs, Tap: tap, Address: s.host.Next(),
		Memory: "512M", Disks: []string{filepath.Join(dir, "system")}, Discard: true, Reboots: true,
		Translations: 256, Terminals: lines, Monitor: s.monitor, Parameters: parameters,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the console of %s:\n%s", s.name, s.Console())
			t.Logf("what alice saw:\n%s\nwhat root saw:\n%s", s.terminals[alice].Seen(),
				s.terminals[root].Seen())
		}
	})
	for n, line := range lines {
		s.terminals[n] = openTerminal(t, line)
	}
	if _, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: s.name,
		Address: s.host.Next()}); err != nil {
		t.Fatal(err)
	}
	s.pods = c.fill(t, s.name)
	return s
}

// booted waits for a boot, and until the agent of it waits for a shutdown.
func (s *system) booted(t *testing.T) {
	t.Helper()
	s.boots++
	began := time.Now()
	line := s.says(t, "guest: boot ", s.boots)
	_, s.bootID, _ = strings.Cut(line, "guest: boot ")
	s.says(t, "guest: ready", s.boots)
	t.Logf("boot %d was ready after %.1f s", s.boots, time.Since(began).Seconds())
	status := fmt.Appendf(nil, `{"status":{"nodeInfo":{"bootID":%q}}}`, s.bootID)
	if _, err := s.client.CoreV1().Nodes().Patch(t.Context(), s.name, types.StrategicMergePatchType,
		status, metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"put /run/epitaph/kubeconfig " + s.kubeconfig(t, s.name, s.proxy),
		"put /run/epitaph/agent.yaml " + s.config,
		"put /run/epitaph/node NODE_NAME=" + s.name,
		"run systemctl start epitaph-agent.service",
	} {
		if err := s.Do(command); err != nil {
			t.Fatal(err)
		}
	}
	s.says(t, `"msg":"waiting for a shutdown"`, s.boots)
	s.eventually(t, "the agent of this boot reports",
		func(context.Context) (bool, error) { return s.report(t, s.name).BootID == s.bootID, nil })
	for _, code := range []string{"NoSystemBus", "NoDelayLock", "CallersUnheard",
		"ProcessesHidden"} {
		if strings.Contains(s.Console(), code) {
			t.Errorf("the agent complains of %s", code)
		}
	}
	s.terminals[alice].sees(t, "$ ")
	s.terminals[root].sees(t, "# ")
	t.Logf("boot %d was at work after %.1f s", s.boots, time.Since(began).Seconds())
}

func (s *system) says(t *testing.T, words string, times int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), agentPatience)
	defer cancel()
	line, _, err := s.SaysAgain(ctx, words, times)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// leaveWith compares what the Node and each of its pods leave with.
func (s *system) leaveWith(t *testing.T, node, pod reason.Reason) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	compare := func(subject reason.Subject, name string, want reason.Reason) {
		d, err := s.witness.Sees(ctx, subject, name)
		if err != nil {
			t.Fatal(err)
		}
		if d.Reason != want {
			t.Errorf("%s %s left with\n  %+v, want\n  %+v", subject, name, d.Reason, want)
		}
	}
	compare(reason.Node, s.name, node)
	for _, name := range s.pods {
		compare(reason.Pod, "default/"+name, pod)
	}
}

// vanishes has the cloud take the machine away, and with it the kubelet that kwok plays.
func (s *system) vanishes(t *testing.T) {
	t.Helper()
	if err := s.StopKubelet(t.Context(), s.name); err != nil {
		t.Fatal(err)
	}
	if err := s.TakeInstanceAway(s.name); err != nil {
		t.Fatal(err)
	}
}
