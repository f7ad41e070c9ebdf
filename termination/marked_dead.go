package termination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// maxMarkBytes bounds the annotation that we decode: a reason's text as escaped JSON and some
// names.
const maxMarkBytes = 8 << 10

// MarkDead writes the intent to remove the node, and why it died, in one PATCH that fails with
// [ErrChanged] if anybody has written to the node since it was read: of several replicas exactly
// one succeeds. A reason that the node carries stays. If the Node cannot be written, the error is
// [ErrUnwritable].
func (t *Terminator) MarkDead(ctx context.Context, node *corev1.Node, r reason.Reason,
	e reason.Evidence) error {
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

// UnmarkDead withdraws the intent, and the reason r if that is still the one on the node, which
// turned out to live or to have booted again.
func (t *Terminator) UnmarkDead(ctx context.Context, node *corev1.Node, r reason.Reason) error {
	annotations := map[string]any{reason.MarkedDeadKey: nil}
	keys := t.keys.Node
	if own, err := keys.Read(node.Annotations); err == nil && own == r {
		maps.Copy(annotations, map[string]any{keys.Reason: nil, keys.Code: nil, keys.By: nil})
	}
	return t.annotateUnchanged(ctx, node, annotations)
}

// MarkedDead returns the intent that the node carries, if any.
func MarkedDead(node *corev1.Node) (reason.Evidence, bool) {
	value := node.Annotations[reason.MarkedDeadKey]
	if value == "" || len(value) > maxMarkBytes {
		return reason.Evidence{}, false
	}
	var e reason.Evidence
	if err := json.Unmarshal([]byte(value), &e); err != nil || e.BootID == "" {
		return reason.Evidence{}, false
	}
	return e, true
}
