//go:build linux

package kernel

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// TestSystem has people switch a machine off that runs a real distribution, with systemd, and the
// agent as its service.
func TestSystem(t *testing.T) { withKernel(t, fetched.prepareSystem, systemInside) }

// A person types at one of the machine's terminals, where they are logged in.
type person int

const (
	alice person = iota
	root
)

// An end is how a machine is switched off.
type end struct {
	by      person
	command string
	// before is what is typed before.
	before string
	// broker has dbus-broker in the place of dbus-daemon.
	broker bool
	// button is pressed in place of a command.
	button bool
	// last is what the kernel says last.
	last string
	// ran is what the Node and its pods say, and who they name.
	ran, who string
}

// is tells whether the evidence is of that end.
func (e end) is(found reason.Evidence) bool {
	if e.button {
		return found.What == reason.EvidencePowerButton
	}
	return found.Who+" ran "+found.Detail == e.ran
}

// ends are those of machines here; on a node with a kubelet alice runs sudo halt (TestRealNode).
var ends = map[string]end{
	"alice powers off": {by: alice, command: "sudo poweroff", last: "reboot: Power down",
		ran: "alice ran sudo poweroff", who: "alice"},
	"alice shuts down": {by: alice, command: "sudo shutdown -h now", last: "reboot: Power down",
		ran: "alice ran sudo shutdown", who: "alice"},
	"alice by a shell over dbus-broker": {
		by: alice, command: "sudo bash -c 'systemctl poweroff; true'", broker: true,
		last: "reboot: Power down", ran: "alice ran systemctl poweroff", who: "alice",
	},
	"root reboots": {by: root, command: "reboot", last: "reboot: Restarting system",
		ran: "root ran reboot", who: "root"},
	"unattended-upgrades reboots": {
		by: root, before: upgradeUnit, command: "systemctl start apt-daily-upgrade.service",
		last: "reboot: Restarting system",
		ran:  "unattended-upgrades ran shutdown", who: "unattended-upgrades",
	},
	"the kernel powers off": {
		by: root, before: "echo '|/sbin/poweroff' > /proc/sys/kernel/core_pattern",
		command: "sh -c 'kill -SEGV $$'", last: "reboot: Power down",
		ran: "the kernel ran poweroff", who: "the kernel",
	},
	"the button": {button: true, last: "reboot: Power down", ran: "the power button was pressed",
		who: "power button"},
}

// upgradeUnit has the service of unattended-upgrades do what it does last.
const upgradeUnit = "mkdir -p /run/systemd/system/apt-daily-upgrade.service.d; " +
	`printf '[Service]\nExecStartPre=\nExecStart=\nExecStart=/sbin/shutdown -r now\n' > /run/systemd/system/apt-daily-upgrade.service.d/reboot.conf; systemctl daemon-reload`

func systemInside(t *testing.T, dir string) {
	p := begin(t, dir)
	c := startCluster(t)
	number := 0
	t.Run("ends", func(t *testing.T) {
		for name, e := range ends {
			number++
			n := number
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := c.systemOf(t, p, dir, n, e.broker)
				s.booted(t)
				if e.broker {
					s.terminals[root].types(t, "systemctl show --property=Id --value dbus.service")
					s.terminals[root].sees(t, "dbus-broker.service")
				}
				s.endsBy(t, e)
			})
		}
		t.Run("alice past logind", func(t *testing.T) {
			t.Parallel()
			c.systemOf(t, p, dir, number+3, false).endsPastLogind(t)
		})
		t.Run("a reboot that comes back", func(t *testing.T) {
			t.Parallel()
			c.systemOf(t, p, dir, number+1, false).comesBack(t)
		})
		t.Run("the listener moves", func(t *testing.T) {
			t.Parallel()
			c.systemOf(t, p, dir, number+2, false).panicsAfterAMove(t)
		})
	})
}

// switchOff does it, and waits until the evidence stands on the Node, which is before the machine
// is down.
func (s *system) switchOff(t *testing.T, e end) {
	t.Helper()
	if e.before != "" {
		// In one line: what is seen is what it prints, and not what was typed.
		s.terminals[e.by].types(t, e.before+"; expr 6000 + 67")
		s.terminals[e.by].sees(t, "6067")
	}
	began := time.Now()
	if e.button {
		conn, err := net.Dial("unix", s.monitor)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "system_powerdown\n"); err != nil {
			t.Fatal(err)
		}
	} else {
		s.terminals[e.by].types(t, e.command)
	}
	s.eventually(t, "the evidence stands on the Node", func(context.Context) (bool, error) {
		known, err := reason.EvidenceOn(s.nodeNow(t, s.name))
		return slices.ContainsFunc(known, e.is), err
	})
	t.Logf("the evidence stood after %.1f s: %s", time.Since(began).Seconds(),
		s.nodeNow(t, s.name).Annotations[reason.EvidenceKey])
	if strings.Contains(s.Console(), e.last) {
		t.Error("the machine is down already")
	}
	s.says(t, e.last, s.boots)
	t.Logf("the machine was down after %.1f s", time.Since(began).Seconds())
}

// endsBy switches the machine off, and has the cloud remove it.
func (s *system) endsBy(t *testing.T, e end) {
	t.Helper()
	s.switchOff(t, e)
	s.Stop()
	s.vanishes(t)
	s.leaveWith(t, reason.Reason{Code: reason.NodeHalted, By: e.who,
		Text: reason.Text("This node went away because " + e.ran + " on it")},
		reason.Reason{Code: reason.NodeHalted, By: e.who,
			Text: reason.Text("This pod had to be terminated because " + e.ran + " on the node")})
}

// endsPastLogind has alice end the machine by sudo, and nobody wait for the agent. systemd ends her
// command at the same time, and so it is a race whether she is named; nobody else must be.
func (s *system) endsPastLogind(t *testing.T) {
	t.Helper()
	s.booted(t)
	const last = "reboot: Power down"
	named := end{ran: "alice ran sudo systemctl start poweroff.target", who: "alice"}
	unknown := end{ran: " ran poweroff"}
	began := time.Now()
	s.terminals[alice].types(t, "sudo systemctl start poweroff.target")
	var found end
	s.eventually(t, "the evidence stands on the Node", func(context.Context) (bool, error) {
		known, err := reason.EvidenceOn(s.nodeNow(t, s.name))
		if slices.ContainsFunc(known, named.is) {
			found = named
		} else if slices.ContainsFunc(known, unknown.is) {
			found = unknown
		}
		return found != end{}, err
	})
	t.Logf("RESULT kernel_past_logind_named=%v", found == named)
	t.Logf("the evidence stood after %.1f s: %s", time.Since(began).Seconds(),
		s.nodeNow(t, s.name).Annotations[reason.EvidenceKey])
	if strings.Contains(s.Console(), last) {
		t.Error("the machine is down already")
	}
	s.says(t, last, s.boots)
	t.Logf("the machine was down after %.1f s", time.Since(began).Seconds())
}

// comesBack reboots, after a shutdown that is called off: neither explains how the node leaves in
// the boot after.
func (s *system) comesBack(t *testing.T) {
	t.Helper()
	s.booted(t)
	// In one line: sudo throws away what is typed meanwhile.
	s.terminals[alice].types(t, "sudo shutdown -h +10 && sudo shutdown -c && expr 6000 + 66")
	s.terminals[alice].sees(t, "6066")
	s.switchOff(t, end{by: alice, command: "sudo reboot", last: "reboot: Restarting system",
		ran: "alice ran sudo reboot"})
	s.booted(t)
	s.vanishes(t)
	const by = "system:serviceaccount:kube-system:node-controller"
	s.leaveWith(t, reason.Reason{Code: reason.CloudInstanceGone, By: by,
		Text: reason.Text("The cloud instance of node " + s.name + " is gone")},
		reason.Reason{Code: reason.CloudInstanceGone, By: by,
			Text: reason.Text("This pod had to be terminated because the cloud instance of node " +
				s.name + " is gone")})
}

// panicsAfterAMove has the listener move to another address, and the kernel panic, which nobody
// hears at the old one.
func (s *system) panicsAfterAMove(t *testing.T) {
	t.Helper()
	here, there := s.host.Next().Next(), s.host.Next().Next().Next()
	s.config = followingFile
	s.moveListener(t, here)
	s.booted(t)
	s.speaksTo(t, here)
	s.moveListener(t, there)
	s.speaksTo(t, there)
	if err := readdress(s.device, netip.PrefixFrom(here, 24), netlink.AddrDel); err != nil {
		t.Fatal(err)
	}
	// The listeners have asked whether it answers, twice each.
	s.says(t, "guest: greeted 4", 1)
	if err := s.Order("sysrq"); err != nil {
		t.Fatal(err)
	}
	const line = "sysrq triggered crash"
	s.says(t, "Kernel panic - not syncing: "+line, 1)
	if err := s.StopKubelet(t.Context(), s.name); err != nil {
		t.Fatal(err)
	}
	for _, pod := range s.pods {
		s.leaves(t, reason.Pod, "default/"+pod,
			reason.New(reason.Pod, reason.KernelPanic, line, "").Text)
	}
	s.leaves(t, reason.Node, s.name, reason.New(reason.Node, reason.KernelPanic, line, "").Text)
}

// moveListener has the Service say that the listener is at the address, which is ours from then on.
func (s *system) moveListener(t *testing.T, to netip.Addr) {
	t.Helper()
	if err := readdress(s.device, netip.PrefixFrom(to, 24), netlink.AddrAdd); err != nil {
		t.Fatal(err)
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: "epitaph-netconsole-1", Namespace: "epitaph-system",
			Labels: map[string]string{discoveryv1.LabelServiceName: "epitaph-netconsole"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: ptr.To("netconsole"), Protocol: ptr.To(corev1.ProtocolUDP),
				Port: ptr.To(int32(6666))}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{to.String()},
			NodeName: ptr.To("bystander")}},
	}
	slices := s.client.DiscoveryV1().EndpointSlices(slice.Namespace)
	_, err := slices.Create(t.Context(), slice, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = slices.Update(t.Context(), slice, metav1.UpdateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// speaksTo waits until the kernel speaks to that address alone.
func (s *system) speaksTo(t *testing.T, a netip.Addr) {
	t.Helper()
	began := time.Now()
	want := []string{netip.AddrPortFrom(a, 6666).String()}
	s.eventually(t, "the kernel speaks to "+want[0], func(context.Context) (bool, error) {
		return cmp.Equal(s.report(t, s.name).SpeaksTo, want), nil
	})
	t.Logf("the kernel spoke to %s after %.1f s", a, time.Since(began).Seconds())
}
