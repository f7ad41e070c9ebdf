package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const clusterAutoscaler = "system:serviceaccount:kube-system:cluster-autoscaler"

// A problem is what a node-problem-detector reads, and what becomes of it.
type problem struct {
	// monitor is one of its own configurations for the kernel's log, kernel what it reads there.
	monitor, kernel string
	// says is what a custom plugin says, which fails then.
	says string
	// event is that on the Node; empty where it sets a condition.
	event string
	// condition is that on the Node.
	condition corev1.NodeConditionType
	// code and detail are what the pod leaves with that is drained, and the Node.
	code   reason.Code
	detail string
}

// The real node-problem-detector reads a kernel's log with its own rules, and a custom plugin of a
// cluster's own. It reports conditions and Events; then the node is drained and removed.
func TestNodeProblemDetectorSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			quick(k)
			k.Inference.Signals = []reason.Signal{{
				Mark: reason.Mark{Condition: reason.MustPattern("ExampleFanFailed"),
					Status: corev1.ConditionTrue},
				Code: reason.HardwareFailure, Detail: "{reason}: {message}",
				Rank: reason.Failure,
			}}
		}}})
	tests := map[string]func(*testing.T){}
	for name, p := range map[string]problem{
		"read-only file system": {
			monitor:   "readonly-monitor.json",
			kernel:    "EXT4-fs (sda1): Remounting filesystem read-only",
			condition: "ReadonlyFilesystem",
			code:      reason.HardwareFailure, detail: "ReadonlyFilesystem: FilesystemIsReadOnly",
		},
		"deadlock": {
			monitor:   "kernel-monitor.json",
			kernel:    "INFO: task docker:1234 blocked for more than 120 seconds.",
			condition: "KernelDeadlock",
			code:      reason.NodeUnreachable, detail: "KernelDeadlock: DockerHung",
		},
		"XFS has shut down": {
			monitor:   "kernel-monitor.json",
			kernel:    "XFS (dm-0): I/O Error Detected. Shutting down filesystem",
			condition: "XfsShutdown",
			code:      reason.HardwareFailure, detail: "XfsShutdown: XfsHasShutdown",
		},
		"fatal hardware error": {
			monitor: "kernel-monitor.json", kernel: "{1}[Hardware Error]: event severity: fatal",
			condition: "CperHardwareErrorFatal",
			code:      reason.HardwareFailure,
			detail:    "CperHardwareErrorFatal: CperHardwareErrorFatal",
		},
		"condition of its own": {
			says: "fan 3 stands still", condition: "ExampleFanFailed", code: reason.HardwareFailure,
			detail: "FanStandsStill: fan 3 stands still",
		},
		// What it reports as an Event only, the node survives.
		"corrected error": {
			monitor: "kernel-monitor.json",
			kernel:  "{1}[Hardware Error]: event severity: corrected",
			event:   "CperHardwareErrorCorrected",
			code:    reason.NodeDrained,
		},
		"task hung": {
			monitor: "kernel-monitor.json",
			kernel:  "INFO: task kworker/1:2:77 blocked for more than 120 seconds.",
			event:   "TaskHung",
			code:    reason.NodeDrained,
		},
	} {
		tests[name] = func(t *testing.T) { c.hasProblem(t, p) }
	}
	together(t, tests)
}

func (c *cluster) hasProblem(t *testing.T, p problem) {
	t.Helper()
	ns, node := c.namespace(t), c.node(t).Name
	c.pod(t, ns, node, "p")
	var logs, plugins []string
	if p.monitor != "" {
		logs = []string{logMonitor(t, p)}
	} else {
		plugins = []string{customPlugin(t, p)}
	}
	if _, err := c.StartNPD(t.Context(), node, logs, plugins); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, "the node-problem-detector reports", func(ctx context.Context) (bool, error) {
		if p.event != "" {
			events, err := c.client.CoreV1().Events("").List(ctx,
				metav1.ListOptions{FieldSelector: "involvedObject.kind=Node,involvedObject.name=" +
					node})
			return err == nil && slices.ContainsFunc(events.Items,
				func(e corev1.Event) bool { return e.Reason == p.event }), nil
		}
		n, err := c.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		return err == nil && slices.ContainsFunc(n.Status.Conditions,
			func(one corev1.NodeCondition) bool {
				return one.Type == p.condition && one.Status == corev1.ConditionTrue
			}), nil
	})
	c.patchNode(t, node, map[string]any{"spec": map[string]any{"unschedulable": true}})
	if err := evict(t, c.as(t, "ann"), ns, "p"); err != nil {
		t.Fatal(err)
	}
	drained := "node " + node + " by ann"
	if p.detail != "" {
		drained = p.detail + "; drained by ann"
	}
	c.leaves(t, reason.Pod, ns+"/p", reason.New(reason.Pod, p.code, drained, "ann"))
	if err := c.as(t, clusterAutoscaler).CoreV1().Nodes().Delete(t.Context(), node,
		metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if p.detail == "" {
		c.leaves(t, reason.Node, node, reason.New(reason.Node, reason.NodeScaledDown,
			"by "+clusterAutoscaler, clusterAutoscaler))
	} else {
		c.leaves(t, reason.Node, node, reason.New(reason.Node, p.code, p.detail, clusterAutoscaler))
	}
}

// logMonitor is one of the node-problem-detector's own configurations, with its rules as they are;
// only, it reads a file instead of /dev/kmsg, which is the test machine's.
func logMonitor(t *testing.T, p problem) string {
	t.Helper()
	dir, err := sandbox.NPDConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, p.monitor))
	if err != nil {
		t.Fatal(err)
	}
	var monitor map[string]any
	if err := json.Unmarshal(data, &monitor); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "kern.log")
	line := time.Now().Format(time.Stamp) + " node kernel: [ 4711.081500] " + p.kernel + "\n"
	if err := os.WriteFile(log, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	monitor["plugin"], monitor["logPath"] = "filelog", log
	monitor["pluginConfig"] = map[string]string{ // as in its kernel-monitor-filelog.json
		"timestamp": "^.{15}", "message": `kernel: \[.*?\] (.*)`, "timestampFormat": time.Stamp,
	}
	return configured(t, monitor)
}

// customPlugin is a check of the cluster's own, which finds something.
func customPlugin(t *testing.T, p problem) string {
	t.Helper()
	check := filepath.Join(t.TempDir(), "check.sh")
	if err := os.WriteFile(check, []byte("#!/bin/sh\necho '"+p.says+"'\nexit 1\n"),
		0o700); err != nil {
		t.Fatal(err)
	}
	return configured(t, map[string]any{
		"plugin": "custom", "source": "fan-monitor",
		"pluginConfig": map[string]any{"invoke_interval": "1s", "timeout": "5s",
			"max_output_length": 80, "concurrency": 1},
		"conditions": []any{map[string]any{"type": p.condition,
			"reason": "FansTurn", "message": "all fans turn"}},
		"rules": []any{map[string]any{
			"type": "permanent", "condition": p.condition, "reason": "FanStandsStill",
			"path": check, "timeout": "5s",
		}},
	})
}

func configured(t *testing.T, as any) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "monitor.json")
	if err := os.WriteFile(path, encode(t, as), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
