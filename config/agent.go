package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// BootUserdata is the key of the userdata with the boot ID of the node.
const BootUserdata = "epitaph-boot"

// Agent configures `epitaph agent`, which runs on each node and sets its kernel's netconsole
// targets to the listeners.
type Agent struct {
	// Service is the headless Service in Epitaph's namespace whose endpoints are the listeners:
	// pods with hostNetwork, or other addresses that a frame can be sent to. Kernels cannot speak
	// to a cluster IP.
	Service string `json:"service" validate:"omitempty,dnslabel"`
	// Listeners are fixed addresses, each "address:port", instead of a Service: the agent then
	// needs no API server to find them.
	Listeners []netip.AddrPort `json:"listeners,omitempty" validate:"max=64"`
	// MaxListeners is how many of them the kernel sends to at most.
	MaxListeners int `json:"maxListeners" validate:"min=1,max=16"`
	// SourcePort is where the kernel sends from. The agent holds it, so that no unprivileged
	// process can.
	SourcePort int `json:"sourcePort" validate:"min=1,max=1023"`
	// Configfs is the mount point of the host's configfs.
	Configfs string `json:"configfs" validate:"required,startswith=/"`
	// LoadModule makes the kernel load netconsole if it is not loaded.
	LoadModule bool `json:"loadModule"`
	// ConsoleLogLevel is which lines the kernel sends: those below it. 0 leaves it alone.
	ConsoleLogLevel int `json:"consoleLogLevel" validate:"min=0,max=8"`
	// ClearPanicTimeout sets kernel.panic to 0 wherever the kernel would otherwise restart before
	// it has sent its panic, again after each start of the kubelet. A machine that panics then
	// stays as it is until somebody, or a watchdog, restarts it.
	ClearPanicTimeout bool `json:"clearPanicTimeout"`
	// ProcSys is where the host's /proc/sys is, writable.
	ProcSys string `json:"procSys" validate:"required,startswith=/"`
	// ClearWithoutWatchdog does so also where no hardware watchdog that user space feeds would
	// restart the machine.
	ClearWithoutWatchdog bool `json:"clearWithoutWatchdog"`
	// LastBoot is where the agent looks for how the previous boot ended.
	LastBoot LastBoot `json:"lastBoot"`
	// Period is how often everything is checked again; changes of listeners and of the network are
	// noticed at once.
	Period metav1.Duration `json:"period" validate:"mindur=1s,maxdur=1h"`
	// MetricsAddress is "host:port"; empty serves no metrics.
	MetricsAddress string `json:"metricsAddress" validate:"omitempty,hostport"`
	// Shutdown makes the agent record who switched the node off. It needs an API server.
	Shutdown Shutdown `json:"shutdown"`
	// Cloud makes the agent record that the cloud is about to take the machine away. It needs an
	// API server.
	Cloud Cloud `json:"cloud"`
}

// The clouds whose metadata service the agent asks, by the scheme of their Nodes' providerID.
const (
	AWS   = "aws"
	GCE   = "gce"
	Azure = "azure"
)

// Cloud configures how the agent hears what the cloud announces for its machine.
type Cloud struct {
	// Enabled has the agent ask the metadata service of the cloud, where there is one.
	Enabled bool `json:"enabled"`
	// Provider is the cloud: aws, gce or azure. Empty finds it by the providerID of the Node.
	Provider string `json:"provider,omitempty" validate:"omitempty,oneof=aws gce azure"`
	// Period is how often it is asked, and how soon a notice is on the Node.
	Period metav1.Duration `json:"period" validate:"mindur=1s,maxdur=1m"`
	// Endpoint is where the service is, if not at http://169.254.169.254: a link-local or loopback
	// address, or [fd00:ec2::254], which is EC2's for IPv6.
	Endpoint string `json:"endpoint,omitempty"`
	// AnyEndpoint allows other addresses, and names, in Endpoint. Whoever answers there says why
	// the nodes leave.
	AnyEndpoint bool `json:"anyEndpoint,omitempty"`
}

// Shutdown configures how the agent learns who switches its node off.
type Shutdown struct {
	// Enabled has the agent watch for shutdowns.
	Enabled bool `json:"enabled"`
	// SystemBus is the socket of the host's D-Bus, where systemd-logind is.
	SystemBus string `json:"systemBus" validate:"required,startswith=/"`
	// Proc is the host's /proc, which a pod with hostPID has as its own.
	Proc string `json:"proc" validate:"required,startswith=/"`
	// MaxDelay is for how long a shutdown is delayed at most while the API server does not answer.
	// systemd-logind's own limit (InhibitDelayMaxSec=) holds as well, which the kubelet raises to
	// minutes where it is to shut down gracefully.
	MaxDelay metav1.Duration `json:"maxDelay" validate:"mindur=1s,maxdur=1m"`
}

// LastBoot configures how the agent finds out how the previous boot ended: folders of the host.
type LastBoot struct {
	// Enabled has the agent look for how the previous boot ended.
	Enabled bool `json:"enabled"`
	// State is a folder of the agent's own that outlives a boot.
	State string `json:"state" validate:"required,startswith=/"`
	// Pstore is where the kernel shows what it kept, SystemdPstore where systemd-pstore moves that,
	// and Kdump where kdump puts what it took from a crashed kernel.
	Pstore        string `json:"pstore" validate:"required,startswith=/"`
	SystemdPstore string `json:"systemdPstore" validate:"required,startswith=/"`
	Kdump         string `json:"kdump" validate:"required,startswith=/"`
	// Firmware is where the kernel shows the firmware's tables, whose boot error record tells of
	// hardware that has failed.
	Firmware string `json:"firmware" validate:"required,startswith=/"`
	// KernelLog also reads the kernel's log of the boot, for what it says there of the end of the
	// one before; the agent needs CAP_SYSLOG for that.
	KernelLog bool `json:"kernelLog"`
	// Remove removes a panic from pstore once it has been reported: some stores are small.
	Remove bool `json:"remove"`
}

// wrongs are what takes more than one field, or more than a tag.
func (a Agent) wrongs() []wrong {
	var all []wrong
	if a.Service == "" && len(a.Listeners) == 0 {
		all = append(all, wrong{"agent.service",
			"is empty, and so is agent.listeners: name the headless Service of the listeners, or write their addresses"})
	}
	for n, l := range a.Listeners {
		if l.Port() == 0 || l.Addr().IsUnspecified() || l.Addr().IsMulticast() {
			all = append(all, wrong{fmt.Sprintf("agent.listeners[%d]", n),
				fmt.Sprintf(
					"%s is not the address of a listener: write the address of a machine and the port, for example 10.0.0.9:6666", l)})
		}
	}
	return append(all, a.Cloud.wrongs()...)
}

// ec2IPv6 is the metadata service of EC2 for IPv6, which is unique local, not link-local.
var ec2IPv6 = netip.MustParseAddr("fd00:ec2::254")

func (c Cloud) wrongs() []wrong {
	if c.Endpoint == "" {
		return nil
	}
	const path = "agent.cloud.endpoint"
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return []wrong{{path, fmt.Sprintf(
			"is %q: write http:// and an address, for example http://169.254.169.254", c.Endpoint)}}
	}
	address, err := netip.ParseAddr(u.Hostname())
	near := err == nil &&
		(address.IsLoopback() || address.IsLinkLocalUnicast() || address == ec2IPv6)
	if near || c.AnyEndpoint {
		return nil
	}
	return []wrong{{path, fmt.Sprintf(
		"%s is neither a link-local nor a loopback address: write one, or set agent.cloud.anyEndpoint to true if you trust whoever answers there",
		reason.CleanTo(u.Hostname(), 253))}}
}

func defaultAgent() Agent {
	return Agent{
		Service:      "epitaph-netconsole",
		MaxListeners: 2,
		SourcePort:   665,
		Configfs:     "/sys/kernel/config",
		LoadModule:   true,
		ProcSys:      "/proc/sys",
		LastBoot: LastBoot{
			Enabled: true, State: "/var/lib/epitaph",
			Pstore: "/sys/fs/pstore", SystemdPstore: "/var/lib/systemd/pstore", Kdump: "/var/crash",
			Firmware: "/sys/firmware",
		},
		Period:         metav1.Duration{Duration: 30 * time.Second},
		MetricsAddress: ":9665",
		Shutdown: Shutdown{Enabled: true,
			SystemBus: "/run/dbus/system_bus_socket", Proc: "/proc",
			MaxDelay: metav1.Duration{Duration: 5 * time.Second}},
		Cloud: Cloud{Enabled: true, Period: metav1.Duration{Duration: 3 * time.Second}},
	}
}
