package termination

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxReportBytes bounds the annotation that we decode.
	maxReportBytes = 36 << 10
	// maxTroubles and maxTroubleBytes keep what we write within that, given that JSON takes up to
	// six bytes for one.
	maxTroubles     = 8
	maxTroubleBytes = 320
	// maxLogBytes bounds the JSON of the kernel's lines; the oldest make room.
	maxLogBytes = 12 << 10
)

// A Report is an agent's report about its node.
type Report struct {
	// BootID is the boot that the report is about.
	BootID string `json:"bootID"`
	// Kernel is the release of the running kernel.
	Kernel string `json:"kernel"`
	// SpeaksTo are the listeners that the kernel has a netconsole target for, each as
	// "address:port".
	SpeaksTo []string `json:"speaksTo,omitempty"`
	// Troubles are what keeps the kernel's last words, or some of them, from arriving.
	Troubles []Trouble `json:"troubles,omitempty"`
	// LastBoot says how the previous boot ended, if that is known.
	LastBoot *LastBoot `json:"lastBoot,omitempty"`
	// Cloud says whose metadata service the agent asks; nil if none.
	Cloud *Cloud `json:"cloud,omitempty"`
}

// A Cloud is what an agent hears from the cloud's metadata service.
type Cloud struct {
	// Provider is aws, gce or azure.
	Provider string `json:"provider"`
	// Silent is set while the service does not answer.
	Silent bool `json:"silent,omitempty"`
	// Announced are the kinds of evidence that the Node has from it.
	Announced []string `json:"announced,omitempty"`
}

// A LastBoot is a boot that is over.
type LastBoot struct {
	BootID string `json:"bootID"`
	// Ended is how: orderly, panic, unclean or unknown.
	Ended string `json:"ended"`
	// Panic is why its kernel panicked, and At when.
	Panic string    `json:"panic,omitempty"`
	At    time.Time `json:"at,omitzero"`
	// Cause is what else the machine says that ended it, and Detail says more.
	Cause  string `json:"cause,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Source is where the agent found the panic or the cause.
	Source string `json:"source,omitempty"`
	// Back is when the machine was up again.
	Back time.Time `json:"back,omitzero"`
	// KernelLog are its kernel's last lines, oldest first.
	KernelLog []string `json:"kernelLog,omitempty"`
}

// A Trouble is a code for programs and a sentence for people.
type Trouble struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// ReportOf reads the report on a node, if any. A report that cannot be read is an error: it must
// not pass for a good one.
func ReportOf(node *corev1.Node) (r Report, found bool, err error) {
	value, found := node.Annotations[reason.AgentKey]
	if !found {
		return Report{}, false, nil
	}
	if len(value) > maxReportBytes {
		return Report{}, true,
			fmt.Errorf("annotation %s of node %s has %d bytes, at most %d are read",
				reason.AgentKey, node.Name, len(value), maxReportBytes)
	}
	if err := json.Unmarshal([]byte(value), &r); err != nil {
		return Report{}, true, fmt.Errorf("read annotation %s of node %s: %w", reason.AgentKey,
			node.Name, err)
	}
	return r, true, nil
}

// Report writes the report of the node's agent; nil removes it. It writes nothing if the node as it
// was read has that report already.
func (t *Terminator) Report(ctx context.Context, node *corev1.Node, r *Report) error {
	if r == nil {
		return t.setOrClear(ctx, node, reason.AgentKey, "")
	}
	value, err := json.Marshal(r.bounded())
	if err != nil {
		return fmt.Errorf("encode the report of node %s: %w", node.Name, err)
	}
	return t.setOrClear(ctx, node, reason.AgentKey, string(value))
}

// bounded makes text from the system harmless and short.
func (r Report) bounded() Report {
	troubles := make([]Trouble, 0, min(len(r.Troubles), maxTroubles))
	for _, x := range r.Troubles[:min(len(r.Troubles), maxTroubles)] {
		text := string(reason.Clean(x.Text))
		if len(text) > maxTroubleBytes {
			text = strings.ToValidUTF8(text[:maxTroubleBytes], "") + "…"
		}
		troubles = append(troubles, Trouble{x.Code, text})
	}
	r.Troubles = troubles
	if r.LastBoot != nil {
		last := *r.LastBoot
		last.Panic = string(reason.Clean(last.Panic))
		last.KernelLog = bounded(last.KernelLog)
		r.LastBoot = &last
	}
	return r
}

// bounded returns as many of the last lines as fit into maxLogBytes.
func bounded(kernelLog []string) []string {
	lines, size := []string(nil), 0
	for _, text := range slices.Backward(kernelLog) {
		line := string(reason.Clean(text))
		encoded, err := json.Marshal(line)
		if size += len(encoded) + 1; err != nil || size > maxLogBytes {
			break
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return lines
}

// SetTokenHash writes the hash of the secret that the node's kernel adds to all it sends
// (reason.TokenKey); an empty one removes it.
func (t *Terminator) SetTokenHash(ctx context.Context, node *corev1.Node, token string) error {
	return t.setOrClear(ctx, node, reason.TokenKey, token)
}

// setOrClear writes or, if value is empty, removes one annotation of the node, unless it is right
// already.
func (t *Terminator) setOrClear(ctx context.Context, node *corev1.Node, key, value string) error {
	var wanted any
	if value != "" {
		wanted = value
	}
	if old, found := node.Annotations[key]; found == (value != "") && old == value {
		return nil
	}
	return t.annotate(ctx, node, map[string]any{key: wanted}, "")
}
