//go:build linux

package kernel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/epitaph-k8s/epitaph/test/kernel/debian"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/kernel/link"
	"github.com/epitaph-k8s/epitaph/test/kernel/machine"
)

// agentFile is the agent's configuration in the guest: so that what it finds by itself, it finds
// soon.
const agentFile = `{"apiVersion": "config.epitaph-k8s.io/v1alpha1", "kind": "Configuration", "agent": {"period": "1s", "listeners": ["10.79.1.9:6666"], "clearPanicTimeout": true, "clearWithoutWatchdog": true}}`

// agentPatience is longer than patience: a machine with a program as large as ours takes its time
// where it shares its processors (at a load of 20, the agent of one machine took more than four
// minutes to start; docs/kernels.md).
const agentPatience = 8 * time.Minute

// TestAgent has the real agent set a real kernel up, and hears what the kernel says.
func TestAgent(t *testing.T) { withKernel(t, fetched.prepareAgent, agentInside) }

func (f fetched) prepareAgent(ctx context.Context, _ io.Writer, dir string) error {
	epitaph, err := buildStatic(ctx, filepath.Join(dir, "epitaph"), "../../cmd/epitaph")
	if err != nil {
		return err
	}
	p := prepared{QEMU: f.qemu, Kernel: f.kernel.Image, Release: f.kernel.Release,
		Initramfs: filepath.Join(dir, "initramfs")}
	err = writeInitramfs(ctx, f.kernel, p.Initramfs,
		initramfs.File{Name: "epitaph", Mode: initramfs.Regular | 0o755, Content: epitaph},
		initramfs.File{Name: "agent.yaml", Mode: initramfs.Regular | 0o644,
			Content: []byte(agentFile)})
	if err != nil {
		return err
	}
	content, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, preparedFile), content, 0o644)
}

// A network has the guest at .2 or ::2, and us at .1 and .9, or ::1 and ::9: two listeners.
type network struct {
	device       string
	guest        netip.Prefix
	first, other netip.Addr
}

var (
	ipv4 = network{"tap1", netip.MustParsePrefix("10.79.1.2/24"), netip.MustParseAddr("10.79.1.1"),
		netip.MustParseAddr("10.79.1.9")}
	ipv6 = network{"tap2", netip.MustParsePrefix("fd00:79::2/64"),
		netip.MustParseAddr("fd00:79::1"), netip.MustParseAddr("fd00:79::9")}
)

func agentInside(t *testing.T, dir string) {
	p := begin(t, dir)
	t.Run("set up once, moved and removed", func(t *testing.T) {
		moved(t, start(t, p, ipv4, panicTimeout(p.Release)))
	})
	t.Run("set up once, moved and removed, IPv6",
		func(t *testing.T) { moved(t, start(t, p, ipv6, panicTimeout(p.Release))) })
	ipv4.device = "tap3"
	t.Run("the listener's machine is replaced",
		func(t *testing.T) { replaced(t, start(t, p, ipv4, kubeletTimeout)) })
}

// alsoAt adds another address.
func (n network) alsoAt(a netip.Addr) error {
	return readdress(n.device, netip.PrefixFrom(a, n.guest.Bits()), netlink.AddrAdd)
}

// readdress adds an address to a device, or takes it away.
func readdress(name string, to netip.Prefix, change func(netlink.Link, *netlink.Addr) error) error {
	device, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr(to.String())
	if err != nil {
		return err
	}
	return change(device, address)
}

// A subject is a machine whose kernel is to speak, and a socket that hears it.
type subject struct {
	*machine.Machine
	network
	release string
	heard   *net.UDPConn
}

func start(t *testing.T, p prepared, n network, panicTimeout string) *subject {
	t.Helper()
	tap, err := link.Tap(n.device)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tap.Close() })
	if err := link.Add(n.device, netip.PrefixFrom(n.first, n.guest.Bits())); err != nil {
		t.Fatal(err)
	}
	if err := n.alsoAt(n.other); err != nil {
		t.Fatal(err)
	}
	heard, err := net.ListenUDP("udp", &net.UDPAddr{Port: 6666})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = heard.Close() })
	s := &subject{network: n, release: p.Release, heard: heard}
	s.Machine, err = machine.Start(machine.Options{
		QEMU: p.QEMU, Kernel: p.Kernel, Initramfs: p.Initramfs, Tap: tap, Address: n.guest.Addr(),
		Parameters: map[string]string{"guest_address": n.guest.String(),
			"guest_panic": panicTimeout},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("the console:\n%s", s.Console())
		}
	})
	s.says(t, "guest: ready")
	return s
}

func (s *subject) says(t *testing.T, words string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), agentPatience)
	defer cancel()
	if _, err := s.Says(ctx, words); err != nil {
		t.Fatal(err)
	}
}

func (s *subject) does(t *testing.T, command string) {
	t.Helper()
	if err := s.Do(command); err != nil {
		t.Fatal(err)
	}
}

// hears waits for a datagram with the words, and returns it.
func (s *subject) hears(t *testing.T, words string) (string, netip.AddrPort) {
	t.Helper()
	if err := s.heard.SetReadDeadline(time.Now().Add(agentPatience)); err != nil {
		t.Fatal(err)
	}
	for buffer := make([]byte, 2048); ; {
		n, from, err := s.heard.ReadFromUDPAddrPort(buffer)
		if err != nil {
			t.Fatalf("wait for %q: %v", words, err)
		}
		if bytes.Contains(buffer[:n], []byte(words)) {
			return string(buffer[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		}
	}
}

// has tells whether the kernel is of this version of Linux, or a later one.
func (s *subject) has(t *testing.T, major, minor int) bool {
	t.Helper()
	has, err := debian.Kernel{Release: s.release}.AtLeast(major, minor)
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// checkForm waits for a datagram with the words, and looks at its sender and at what this version
// of Linux adds.
func (s *subject) checkForm(t *testing.T, words string) {
	t.Helper()
	datagram, from := s.hears(t, words)
	if want := netip.AddrPortFrom(s.guest.Addr(), 665); from != want {
		t.Errorf("it comes from %s, want %s", from, want)
	}
	if s.has(t, 6, 6) && !strings.HasPrefix(datagram, s.release+",") {
		t.Errorf("it does not begin with the kernel's release: %q", datagram)
	}
	if userdata := strings.Contains(datagram,
		"\n epitaph-node=guest\n epitaph-boot="); userdata != s.has(t, 6, 9) {
		t.Errorf("userdata is there: %v: %q", userdata, datagram)
	}
	if strings.Contains(datagram, "epitaph-token") {
		t.Errorf("a kernel whose secret nobody could check sends one: %q", datagram)
	}
}

// moved sets netconsole up, then again with another listener, then takes it away; and at last hears
// the kernel die.
func moved(t *testing.T, s *subject) {
	t.Helper()
	at := func(a netip.Addr) string { return netip.AddrPortFrom(a, 6666).String() }
	// There is neither netconsole nor a configfs yet: the agent has the kernel load the one, and
	// mounts the other.
	s.does(t, "agent --once --listeners "+at(s.first))
	s.does(t, "mkdir /sys/kernel/config/netconsole/theirs")
	s.does(t, "print <9>the first word")
	s.checkForm(t, "the first word")
	s.does(t, "agent --once --listeners "+at(s.other))
	s.does(t, "print <9>the second word")
	s.checkForm(t, "the second word")
	s.does(t, "show /sys/kernel/config/netconsole")
	s.does(t, "print shown")
	s.says(t, "shown")
	if console := s.Console(); strings.Contains(console, "show: epitaph-"+dashed(s.first)) ||
		!strings.Contains(console, "show: epitaph-"+dashed(s.other)) {
		t.Error("the first listener's target is still there, or the other's is not")
	} else if !strings.Contains(console, "show: theirs/enabled -rw-r--r-- 0") {
		t.Error("a target that is not the agent's was touched")
	} else if s.has(t, 6, 9) && !strings.Contains(console, "epitaph-node/value -rw------- guest") {
		t.Error("userdata can be read by everybody")
	}
	s.does(t, "agent --remove --listeners "+at(s.other))
	s.does(t, "agent --dry-run --listeners "+at(s.first))
	s.says(t, "mkdir /sys/kernel/config/netconsole/epitaph-"+dashed(s.first))
	s.does(t, "print <9>nobody hears this word")
	s.does(t, "agent --once --listeners "+at(s.first))
	s.does(t, "print <9>the last word")
	// In order: had anybody been spoken to meanwhile, it would have come before.
	if datagram, _ := s.hears(t, " word"); strings.Contains(datagram, "nobody") {
		t.Errorf("a target that was removed speaks: %q", datagram)
	}
	if err := s.Order("sysrq"); err != nil {
		t.Fatal(err)
	}
	s.checkForm(t, "Kernel panic - not syncing: sysrq triggered crash")
	if strings.Contains(s.Console(), "disable to update parameters") {
		t.Error("the agent wrote to a target that was enabled")
	}
}

func dashed(a netip.Addr) string { return strings.ReplaceAll(a.String(), ":", "-") }

// kubeletTimeout is what the kubelet sets kernel.panic to.
const kubeletTimeout = "10"

// warned has the agent look at a kernel that restarts before it has sent its panic, if it is one:
// it says so.
func (s *subject) warned(t *testing.T) {
	t.Helper()
	s.does(t, "show /proc/consoles")
	err := s.Do("agent --once --listeners " + netip.AddrPortFrom(s.other, 6666).String())
	late := s.has(t, 7, 0)
	if late != (err != nil) || late != strings.Contains(s.Console(),
		"PanicUnsent: kernel.panic is 10, and Linux "+s.release+
			" restarts before it has sent its panic") {
		t.Errorf("the agent ended with %v; it should warn of kernel.panic: %v", err, late)
	}
}

// replaced has an agent stay, and changes the Ethernet address of the listener's machine, as when
// another one takes its place.
func replaced(t *testing.T, s *subject) {
	t.Helper()
	s.warned(t)
	// Otherwise the kernel trusts what it knows of a neighbour for up to 45 s, and then gives it
	// another 8.
	s.does(t, "set /proc/sys/net/ipv4/neigh/eth0/base_reachable_time_ms 1000")
	s.does(t, "set /proc/sys/net/ipv4/neigh/eth0/delay_first_probe_time 1")
	s.does(t, "follow --config /agent.yaml")
	s.says(t, `"faults":0`)
	s.does(t, "print <9>the first word")
	s.hears(t, "the first word")
	other := net.HardwareAddr{0x02, 0, 0, 0, 0, 0x77}
	device, err := netlink.LinkByName(s.device)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetHardwareAddr(device, other); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.says(t, fmt.Sprintf("by eth0, %s", other))
	t.Logf("followed after %.1f s", time.Since(began).Seconds())
	if err := s.Order("sysrq"); err != nil {
		t.Fatal(err)
	}
	s.checkForm(t, "Kernel panic - not syncing: sysrq triggered crash")
}
