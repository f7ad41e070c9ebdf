package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// Each scene has a node of its own, so that none disturbs another.
const (
	preemptionNode = "node-1"
	diskNode       = "node-2"
	haltNode       = "node-3"
	cloudNode      = "node-4"
	panicNode      = "node-5"
	spareNode      = "node-6"
)

func personMustSayWhy(ctx context.Context, st *stage) error {
	if err := st.runs(ctx, podOn(spareNode, "notebook")); err != nil {
		return err
	}
	const try = "kubectl -n batch delete pod notebook"
	st.say("$ %s", try)
	denial, err := st.asAlice(ctx, try)
	if err == nil {
		return fmt.Errorf("the delete was not denied: %s", denial)
	}
	for line := range strings.Lines(denial) {
		st.say("  %s", strings.TrimRight(line, "\n"))
	}
	commands := indented(denial)
	if len(commands) != 2 {
		return fmt.Errorf("the denial shows %d commands, not 2", len(commands))
	}
	cause := time.Now()
	for _, command := range commands {
		command = strings.Replace(command, "WHY IT HAS TO GO", "the experiment is over", 1)
		st.say("$ %s", command)
		if out, err := st.asAlice(ctx, command); err != nil {
			return fmt.Errorf("do what the denial says: %s: %w", out, err)
		}
	}
	return st.podDied(ctx, "notebook", reason.UserRequest, "the experiment is over", cause)
}

// indented returns the lines of a message that are set off as commands.
func indented(message string) []string {
	var lines []string
	for line := range strings.Lines(message) {
		if command, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "  "); ok {
			lines = append(lines, command)
		}
	}
	return lines
}

func schedulerPreempts(ctx context.Context, st *stage) error {
	if err := st.runs(ctx, podOn(preemptionNode,
		"nightly-report", prioritized("nightly", "3"))); err != nil {
		return err
	}
	cause := time.Now()
	if err := st.runs(ctx, podOn(preemptionNode,
		"hotfix", prioritized("urgent", "3"))); err != nil {
		return err
	}
	return st.podDied(ctx, "nightly-report", reason.Preempted,
		"This pod was preempted by a higher priority job (batch/hotfix)", cause)
}

func diskFails(ctx context.Context, st *stage) error {
	if err := st.runs(ctx, podOn(diskNode, "indexer-0"), podOn(diskNode, "indexer-1")); err != nil {
		return err
	}
	cause := time.Now()
	failed := corev1.NodeCondition{
		Type: "ReadonlyFilesystem", Status: corev1.ConditionTrue, Reason: "FilesystemIsReadOnly",
		Message:            "EXT4-fs (nvme0n1p1): Remounting filesystem read-only",
		LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now(),
	}
	if err := st.patchNode(ctx, diskNode,
		map[string]any{"status": map[string]any{"conditions": []any{failed}}},
		"status"); err != nil {
		return err
	}
	evict := corev1.Taint{Key: "example.com/broken", Effect: corev1.TaintEffectNoExecute}
	if err := st.patchNode(ctx, diskNode,
		map[string]any{"spec": map[string]any{"taints": []any{evict}}}); err != nil {
		return err
	}
	const text = "This pod had to be terminated because the underlying hardware failed (ReadonlyFilesystem: FilesystemIsReadOnly)"
	return errors.Join(
		st.podDied(ctx, "indexer-0", reason.HardwareFailure, text, cause),
		st.podDied(ctx, "indexer-1", reason.HardwareFailure, text, cause))
}

func (st *stage) patchNode(ctx context.Context, name string, patch map[string]any,
	subresources ...string) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("encode a patch of node %s: %w", name, err)
	}
	_, err = st.client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, data,
		metav1.PatchOptions{}, subresources...)
	if err != nil {
		return fmt.Errorf("patch node %s: %w", name, err)
	}
	return nil
}

func nodeIsHalted(ctx context.Context, st *stage) error {
	if err := st.runs(ctx, podOn(haltNode, "trainer-0"), podOn(haltNode, "trainer-1")); err != nil {
		return err
	}
	node, err := st.client.CoreV1().Nodes().Get(ctx, haltNode, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read node %s: %w", haltNode, err)
	}
	cause := time.Now()
	evidence, err := json.Marshal([]reason.Evidence{{
		What: reason.EvidenceHalt, Who: "bob", When: cause, BootID: node.Status.NodeInfo.BootID,
	}})
	if err != nil {
		return fmt.Errorf("encode the evidence: %w", err)
	}
	annotations := map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{reason.EvidenceKey: string(evidence)}}}
	if err := st.patchNode(ctx, haltNode, annotations); err != nil {
		return err
	}
	if err := st.sandbox.TakeInstanceAway(haltNode); err != nil {
		return err
	}
	const text = "This pod had to be terminated because bob ran sudo halt on the node"
	return errors.Join(
		st.died(ctx, reason.Node, haltNode, reason.NodeHalted,
			"This node went away because bob ran sudo halt on it", cause),
		st.podDied(ctx, "trainer-0", reason.NodeHalted, text, cause),
		st.podDied(ctx, "trainer-1", reason.NodeHalted, text, cause))
}

func instanceIsGone(ctx context.Context, st *stage) error {
	if err := st.runs(ctx, podOn(cloudNode, "web-0"), podOn(cloudNode, "web-1")); err != nil {
		return err
	}
	cause := time.Now()
	if err := st.sandbox.TakeInstanceAway(cloudNode); err != nil {
		return err
	}
	const text = "This pod had to be terminated because the cloud instance of node node-4 is gone"
	return errors.Join(
		st.died(ctx, reason.Node, cloudNode, reason.CloudInstanceGone,
			"The cloud instance of node node-4 is gone", cause),
		st.podDied(ctx, "web-0", reason.CloudInstanceGone, text, cause),
		st.podDied(ctx, "web-1", reason.CloudInstanceGone, text, cause))
}
