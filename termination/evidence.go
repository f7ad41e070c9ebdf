package termination

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// maxEvidence is how many pieces of evidence a Node keeps; the oldest go first. encodeEvidence
	// keeps them within what EvidenceOn reads.
	maxEvidence = 12
	// maxDetailBytes bounds the detail of a piece of evidence.
	maxDetailBytes = 512
)

// AddEvidence adds a piece of evidence to those on the node, as it was read. The error is
// [ErrChanged] if anybody has written to the node since. Evidence that is there already is not
// written again, an annotation that cannot be read is replaced, and the oldest pieces make room.
func (t *Terminator) AddEvidence(ctx context.Context, node *corev1.Node, e reason.Evidence) error {
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
	value, err := encodeEvidence(append(known, e))
	if err != nil {
		return fmt.Errorf("encode the evidence on node %s: %w", node.Name, err)
	}
	return t.annotateUnchanged(ctx, node, map[string]any{reason.EvidenceKey: value})
}

// RemoveEvidence removes the evidence that the node has survived. The error is [ErrChanged] if
// anybody has written to the node since it was read.
func (t *Terminator) RemoveEvidence(ctx context.Context, node *corev1.Node,
	survived func(reason.Evidence) bool) error {
	known, err := reason.EvidenceOn(node)
	if err != nil {
		return err
	}
	remains := slices.DeleteFunc(slices.Clone(known), survived)
	if len(remains) == len(known) {
		return nil
	}
	var value any // nil removes the annotation
	if len(remains) > 0 {
		if value, err = encodeEvidence(remains); err != nil {
			return fmt.Errorf("encode the evidence on node %s: %w", node.Name, err)
		}
	}
	return t.annotateUnchanged(ctx, node, map[string]any{reason.EvidenceKey: value})
}

// encodeEvidence returns the annotation's value. It drops the oldest pieces until the value is
// short enough to be read: JSON may take six bytes for one.
func encodeEvidence(all []reason.Evidence) (string, error) {
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
