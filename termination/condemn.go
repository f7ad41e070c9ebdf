package termination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxCondemnedBytes bounds the annotation that is decoded: a reason's text as escaped JSON and some names.
	maxCondemnedBytes = 8 << 10
	// maxEvidence is how many pieces of evidence a Node keeps; the oldest go first. With reason.Text's bound they stay
	// within what EvidenceOn reads.
	maxEvidence = 12
	// maxDetailBytes bounds the detail of a piece of evidence that is added to others.
	maxDetailBytes = 512
)

// Condemn writes the intent to bury the node as it was read, and why it died, in one PATCH that fails with [ErrChanged] if
// anybody else wrote to it since: of several replicas exactly one gets it through. A reason that the node carries stays. A Node on
// which nothing can be written is [ErrUnwritable].
func (t *Terminator) Condemn(ctx context.Context, node *corev1.Node, r reason.Reason, e reason.Evidence) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode the intent about node %s: %w", node.Name, err)
	}
	annotations := map[string]any{reason.MarkedDeadKey: string(value)}
	if !t.keys.Node.Has(node.Annotations) {
		for key, text := range t.keys.Node.Annotations(r) {
			annotations[key] = text
		}
	}
	err = asUnwritable(t.annotateUnchanged(ctx, node, annotations))
	if errors.Is(err, ErrUnwritable) {
		return t.told(node, r, err, err)
	}
	return err
}

// Pardon takes the intent back, and with it the reason that came with it: the node turned out to live, or to have booted again.
func (t *Terminator) Pardon(ctx context.Context, node *corev1.Node, r reason.Reason) error {
	annotations := map[string]any{reason.MarkedDeadKey: nil}
	keys := t.keys.Node
	if own, err := keys.Read(node.Annotations); err == nil && own == r {
		maps.Copy(annotations, map[string]any{keys.Reason: nil, keys.Code: nil, keys.By: nil})
	}
	return t.annotateUnchanged(ctx, node, annotations)
}

// Condemned returns the intent that the node carries, if any.
func Condemned(node *corev1.Node) (reason.Evidence, bool) {
	value := node.Annotations[reason.MarkedDeadKey]
	if value == "" || len(value) > maxCondemnedBytes {
		return reason.Evidence{}, false
	}
	var e reason.Evidence
	if err := json.Unmarshal([]byte(value), &e); err != nil || e.BootID == "" {
		return reason.Evidence{}, false
	}
	return e, true
}

// Testify adds a piece of evidence to those that the node carries, as it was read; [ErrChanged] if anybody wrote to it since.
// Evidence that is there already is not written again, what of it cannot be read is replaced, and the oldest makes room.
func (t *Terminator) Testify(ctx context.Context, node *corev1.Node, e reason.Evidence) error {
	known, err := reason.EvidenceOn(node)
	if err != nil {
		known = nil
	}
	if len(e.Detail) > maxDetailBytes {
		e.Detail = string(reason.Clean(e.Detail[:maxDetailBytes]))
	}
	for _, k := range known {
		if k.What == e.What && k.Who == e.Who && k.Detail == e.Detail && k.BootID == e.BootID {
			return nil
		}
	}
	value, err := testimony(append(known, e))
	if err != nil {
		return fmt.Errorf("encode the evidence on node %s: %w", node.Name, err)
	}
	return t.annotateUnchanged(ctx, node, map[string]any{reason.EvidenceKey: value})
}

// Forget takes the evidence that the node has survived off it; [ErrChanged] if anybody wrote to the node since it was read.
func (t *Terminator) Forget(ctx context.Context, node *corev1.Node, survived func(reason.Evidence) bool) error {
	known, err := reason.EvidenceOn(node)
	if err != nil {
		return err
	}
	remains := slices.DeleteFunc(slices.Clone(known), survived)
	if len(remains) == len(known) {
		return nil
	}
	var value any // nil takes the annotation off
	if len(remains) > 0 {
		if value, err = testimony(remains); err != nil {
			return fmt.Errorf("encode the evidence on node %s: %w", node.Name, err)
		}
	}
	return t.annotateUnchanged(ctx, node, map[string]any{reason.EvidenceKey: value})
}

// testimony returns the annotation that holds the evidence. The oldest pieces make room until it can be read again: JSON may
// take six bytes for one.
func testimony(all []reason.Evidence) (string, error) {
	for all = all[max(0, len(all)-maxEvidence):]; ; all = all[1:] {
		value, err := json.Marshal(all)
		if err != nil {
			return "", err
		}
		if len(value) <= reason.MaxEvidenceBytes || len(all) == 1 {
			return string(value), nil
		}
	}
}
