package reason

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// What a piece of evidence says.
const (
	EvidenceHalt        = "halt"
	EvidencePoweroff    = "poweroff"
	EvidenceReboot      = "reboot"
	EvidenceShutdown    = "shutdown"
	EvidenceKexec       = "kexec"
	EvidenceSoftReboot  = "soft-reboot"
	EvidencePowerButton = "power-button"
	EvidencePanic       = "panic"
	EvidenceHardware    = "hardware"
	// EvidenceKernel is trouble of the kernel's own that it survived: not a cause, but it may
	// explain a node that falls silent.
	EvidenceKernel = "kernel"

	// EvidenceSpot and those below are what the cloud has announced for the machine: that it takes
	// a spot instance back.
	EvidenceSpot = "spot-interruption"
	// EvidenceRebalance is no more than the cloud's advice to replace a spot instance soon.
	EvidenceRebalance = "rebalance-recommendation"
	// EvidenceScaleIn is the end of a machine that somebody, or a group of instances, wants to have
	// no longer.
	EvidenceScaleIn = "scale-in"
	// EvidenceHostFailure is a host that fails, or is about to.
	EvidenceHostFailure = "host-failure"
	// EvidenceMaintenance is planned work on a host for which the machine is stopped or restarted.
	EvidenceMaintenance = "host-maintenance"
)

// Evidence is something that happened on a node and may turn out to be what the node died of.
type Evidence struct {
	// What happened: one of the words above.
	What string `json:"what"`
	// Who did it, if somebody did: a user name, or the cloud that announced it.
	Who string `json:"who,omitempty"`
	// Detail is the panic line, the failure's type, the cloud's announcement, or the command that
	// switched the machine off, if it was not sudo and What.
	Detail string `json:"detail,omitempty"`
	// When it happened, by the clock of the node.
	When time.Time `json:"when"`
	// BootID is the boot during which it happened. A node that has booted again has survived it.
	BootID string `json:"bootID,omitempty"`
	// Rule is the rule for kernel lines that found it, if one did (docs/kernel-lines.md).
	Rule string `json:"rule,omitempty"`
	// Fatal is set for hardware that no longer works: a node that goes on reporting has not
	// survived that.
	Fatal bool `json:"fatal,omitempty"`
	// Until, if set, is when it is too late for the node to go because of it: a node that was heard
	// of later outlived it.
	Until time.Time `json:"until,omitzero"`
	// Found is when it became known, if that was only in a later boot; Source is where it was found
	// then.
	Found  time.Time `json:"found,omitzero"`
	Source string    `json:"source,omitempty"`
}

// Late reports whether e became known only after the boot that it is about was over. It can never
// be what the node dies of now, but it explains what ended in that boot.
func (e Evidence) Late() bool { return !e.Found.IsZero() }

// Known returns since when e is known.
func (e Evidence) Known() time.Time {
	if e.Late() {
		return e.Found
	}
	return e.When
}

const (
	// MaxEvidenceBytes bounds the annotation that is decoded: room for some 60 pieces.
	MaxEvidenceBytes = 16 << 10
	// readyGrace is how long after a piece of evidence a node may still be reported Ready without
	// having survived it: the kubelet posts a heartbeat while the machine shuts down, and the API
	// server learns of its silence up to 50 s later (--node-monitor-grace-period).
	readyGrace = 2 * time.Minute
	// goingDown is how long a machine may take to shut down: a graceful shutdown waits for its
	// pods.
	goingDown = 30 * time.Minute
	// clockSkew is how far the clocks of a node and of the control plane may be apart.
	clockSkew = time.Minute
)

// EvidenceOn returns the evidence that a Node carries. An annotation that is too large or not JSON
// is an error: unreadable evidence must not pass for none.
func EvidenceOn(node *corev1.Node) ([]Evidence, error) {
	value := node.Annotations[EvidenceKey]
	switch {
	case value == "":
		return nil, nil
	case len(value) > MaxEvidenceBytes:
		return nil, fmt.Errorf("annotation %s of node %s has %d bytes, at most %d are read",
			EvidenceKey, node.Name, len(value), MaxEvidenceBytes)
	}
	var all []Evidence
	if err := json.Unmarshal([]byte(value), &all); err != nil {
		return nil, fmt.Errorf("read annotation %s of node %s: %w", EvidenceKey, node.Name, err)
	}
	return all, nil
}

// Fresh reports whether e can still be what the node died of: the node has not survived it, and is
// not Ready again well after it. A machine works on until the end that the cloud has announced for
// it.
func (e Evidence) Fresh(node *corev1.Node) bool {
	if e.Survived(node) {
		return false
	}
	ready := readyCondition(node)
	if ready == nil || ready.Status != corev1.ConditionTrue || e.Fatal || e.Announced() {
		return true
	}
	grace := e.When.Add(readyGrace)
	return !ready.LastTransitionTime.After(grace) && !ready.LastHeartbeatTime.After(grace)
}

// Survived reports whether e can never again be what the node dies of: the node has booted since,
// or its kubelet went on reporting for longer than e can take to end it. The time of the last
// heartbeat is always the kubelet's, even if the node lifecycle controller set the status.
func (e Evidence) Survived(node *corev1.Node) bool {
	if e.Late() {
		return true
	}
	if boot := node.Status.NodeInfo.BootID; e.BootID != "" && boot != "" && e.BootID != boot {
		return true
	}
	ready := readyCondition(node)
	return ready != nil && ready.LastHeartbeatTime.After(e.outlivedAt())
}

// outlivedAt returns when a node that goes on reporting has survived e, unless its rule says so. A
// machine that is told to shut down takes its time. Failing hardware does not: if the machine works
// on for longer than heartbeats may be late, that was not its end, unless something no longer
// works.
func (e Evidence) outlivedAt() time.Time {
	switch {
	case !e.Until.IsZero():
		return e.Until
	case e.What == EvidenceHardware && !e.Fatal:
		return e.When.Add(readyGrace)
	default:
		return e.When.Add(goingDown)
	}
}

// weights rank kinds of evidence. Failing hardware takes the kernel with it, and a panic is an end
// while a command is only the wish for one. A spot instance that is taken back is gone within
// minutes whatever is run on it, while maintenance may come hours after its announced time; it is
// also how a hypervisor comes to press the power button. A recommendation announces no end.
var weights = map[string]int{
	EvidenceHardware: 7,
	EvidencePanic:    6,
	EvidenceSpot:     5, EvidenceScaleIn: 5,
	EvidenceHalt: 4, EvidencePoweroff: 4, EvidenceReboot: 4, EvidenceShutdown: 4,
	EvidenceKexec: 4, EvidenceSoftReboot: 4,
	EvidenceHostFailure: 3, EvidenceMaintenance: 3,
	EvidencePowerButton: 2,
	EvidenceRebalance:   1,
}

// announcements maps what a cloud announces to the code that follows if the node then goes.
var announcements = map[string]Code{
	EvidenceSpot: SpotInterrupted, EvidenceRebalance: SpotInterrupted,
	EvidenceScaleIn: NodeScaledDown, EvidenceHostFailure: HardwareFailure,
	EvidenceMaintenance: NodeShutdown,
}

// weighs returns the weight of e among all evidence: 0 if it tells of no end.
func weighs(e Evidence) int {
	w := 2 * weights[e.What]
	if e.Fatal && w > 0 {
		w++
	}
	return w
}

// weightiest returns the most decisive evidence that counts: fatal evidence before other evidence,
// and among equals the first. Unreadable evidence is reported where it is written and where the
// node is watched; here the conditions still count.
func weightiest(node *corev1.Node, counts func(Evidence) bool) (Evidence, bool) {
	all, _ := EvidenceOn(node)
	var best Evidence
	for _, e := range all {
		if weighs(e) > weighs(best) && counts(e) {
			best = e
		}
	}
	return best, best.What != ""
}

// OfShutdown reports whether e says that the machine was switched off or restarted.
func (e Evidence) OfShutdown() bool {
	return e.What == EvidencePowerButton || weights[e.What] == weights[EvidenceHalt]
}

// Announced reports whether e is what the cloud has announced for the machine.
func (e Evidence) Announced() bool { return announcements[e.What] != "" }

// reason returns what the node dies of according to e; false if e alone explains nothing.
func (e Evidence) reason(node string) (Reason, bool) {
	switch e.What {
	case EvidencePowerButton:
		return New(Node, NodeHalted, powerButton, "power button"), true
	case EvidenceHalt, EvidencePoweroff, EvidenceReboot, EvidenceShutdown, EvidenceKexec,
		EvidenceSoftReboot:
		who, command := e.Who, e.Detail
		if who == "" {
			who = "somebody unknown"
		}
		if command == "" {
			command = "sudo " + e.What
		}
		return New(Node, NodeHalted, who+" ran "+command, who), true
	case EvidencePanic:
		return New(Node, KernelPanic, e.Detail, "kernel of node "+node), true
	case EvidenceHardware:
		return New(Node, HardwareFailure, e.Detail, "node "+node), true
	default:
		return e.announcement()
	}
}

// announcement returns what the cloud's word leads to, in words of the cloud's own if it has any.
func (e Evidence) announcement() (Reason, bool) {
	detail, by := e.Detail, e.Who
	if detail == "" {
		detail = e.What
	}
	if by == "" {
		by = "cloud provider"
	}
	return New(Node, announcements[e.What], detail, by), e.Announced()
}

func readyCondition(node *corev1.Node) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == corev1.NodeReady {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}
