package config

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason/kernel"
)

// Netconsole configures the listener for the last lines of dying kernels. A packet that it believes
// deletes a Node, so its defaults believe little.
type Netconsole struct {
	// Enabled listens to kernels.
	Enabled bool `json:"enabled"`
	// Address is the "host:port" to listen on for UDP; an empty host listens on IPv4 and IPv6.
	Address string `json:"address" validate:"required,hostport"`
	// AcceptPlain also listens to the plain format, which a container without any privilege can
	// forge; a panic heard in it is then believed only with proof of death.
	AcceptPlain bool `json:"acceptPlain"`
	// RequirePrivilegedPort refuses datagrams whose source port is not below 1024. Epitaph's agent
	// has the kernel send from such a port and holds it, so that no unprivileged process of the
	// node's own network can. It is no proof: a pod's datagram from port 665 may leave the node
	// through MASQUERADE with a source port below 1024. The token is what proves the sender.
	RequirePrivilegedPort bool `json:"requirePrivilegedPort"`
	// AcceptNodeNames also hears nodes at addresses that the API does not know: by the name in
	// their userdata, provided that the token is right.
	AcceptNodeNames bool         `json:"acceptNodeNames"`
	ProofOfDeath    ProofOfDeath `json:"proofOfDeath"`
	Brake           Brake        `json:"brake"`
	// KernelRules say what lines of the kernel mean. They are tried before the default ones, and
	// replace those with the same ID.
	KernelRules []kernel.Rule `json:"kernelRules,omitempty" validate:"max=256,dive"`
	// OmitDefaultKernelRules leaves the default rules out.
	OmitDefaultKernelRules bool `json:"omitDefaultKernelRules,omitempty"`
	// Workers is how many pods of a dead node are terminated at the same time.
	Workers int `json:"workers" validate:"min=1,max=256"`
}

// ProofOfDeath configures the probe of a node whose panic was heard: user space that answers vetoes
// the panic.
type ProofOfDeath struct {
	// KubeletPort is where the kubelet of a living node answers with TLS.
	KubeletPort int `json:"kubeletPort" validate:"min=1,max=65535"`
	// Attempts is how many probes in a row must stay without an answer.
	Attempts int `json:"attempts" validate:"min=1,max=20"`
	// Timeout of one attempt, if the node answered in quiet times within a quarter of that.
	Timeout metav1.Duration `json:"timeout" validate:"mindur=10ms,maxdur=10s"`
	// Patience is the longest timeout: a node that answered more slowly in quiet times is given
	// four times as long as it then took. Silence of one that took more than a quarter of Patience
	// proves nothing. Less than Timeout means Timeout.
	Patience metav1.Duration `json:"patience" validate:"mindur=10ms,maxdur=30s"`
	// Interval between the starts of two attempts.
	Interval metav1.Duration `json:"interval" validate:"mindur=10ms,maxdur=10s"`
	// Window is how long a panic stays pending while user space still answers.
	Window metav1.Duration `json:"window" validate:"mindur=1s,maxdur=10m"`
	// MissedRenewal is how long the node's Lease must go without a renewal after a panic that is
	// not signed, or after a signed one where silence alone proves nothing (docs/security.md); at
	// least for as long as the Lease says that it lasts. It has to be longer than a restart of the
	// kubelet takes, with the renewal that follows. A signed panic of a node that used to answer,
	// and has been silent since, needs no such wait.
	MissedRenewal metav1.Duration `json:"missedRenewal" validate:"mindur=1s,maxdur=10m"`
	// MaxReboot is what takes the place of MissedRenewal where a reboot in good order explains the
	// silence as well: the longest time that a node may take to come back.
	MaxReboot metav1.Duration `json:"maxReboot" validate:"mindur=1s,maxdur=1h"`
	// QuietRound is how often every node is asked in quiet times whether it answers at all.
	QuietRound metav1.Duration `json:"quietRound" validate:"mindur=1s,maxdur=1h"`
}

// Brake limits how many nodes may be declared dead: a forger, or a bad rollout, must not empty a
// cluster.
type Brake struct {
	// Nodes that may be declared dead within Window; 0 means none, and so switches deletions off.
	Nodes  int             `json:"nodes" validate:"min=0,max=5000"`
	Window metav1.Duration `json:"window" validate:"mindur=1s,maxdur=24h"`
}

func defaultNetconsole() Netconsole {
	return Netconsole{
		Enabled: true,
		Address: ":6666",
		ProofOfDeath: ProofOfDeath{
			KubeletPort: 10250,
			Attempts:    3,
			Timeout:     metav1.Duration{Duration: 300 * time.Millisecond},
			Patience:    metav1.Duration{Duration: 6 * time.Second},
			Interval:    metav1.Duration{Duration: 200 * time.Millisecond},
			Window:      metav1.Duration{Duration: 30 * time.Second},
			// What a Lease lasts by default (nodeLeaseDurationSeconds), and four renewals: a
			// kubelet that restarts for 15 seconds has renewed it long before.
			MissedRenewal: metav1.Duration{Duration: 40 * time.Second},
			MaxReboot:     metav1.Duration{Duration: 10 * time.Minute},
			QuietRound:    metav1.Duration{Duration: time.Minute},
		},
		Brake:   Brake{Nodes: 20, Window: metav1.Duration{Duration: 5 * time.Minute}},
		Workers: 32,
	}
}

// Rules are the rules for lines of the kernel, the first that matches wins.
func (n Netconsole) Rules() []kernel.Rule {
	if n.OmitDefaultKernelRules {
		return n.KernelRules
	}
	return kernel.With(n.KernelRules, kernel.DefaultRules())
}

// wrongs are what is wrong with the rules for lines of the kernel beyond their fields' own bounds.
func (n Netconsole) wrongs() (all []wrong) {
	_, err := kernel.Compile(n.Rules())
	for _, e := range kernel.Wrongs(err) {
		if e.Index < len(n.KernelRules) {
			all = append(all, wrong{fmt.Sprintf("netconsole.kernelRules[%d]", e.Index), e.Error()})
		}
	}
	return all
}
