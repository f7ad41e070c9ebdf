package reason

import "testing"

func TestOfCloud(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		said      Evidence
		heard     []Evidence
		code      Code
		node, pod string
	}{
		"a person terminated it": {said: Evidence{What: EvidenceTerminated, Who: "alice"},
			code: CloudInstanceGone,
			node: "The cloud instance of node n is gone: alice terminated it in the cloud",
			pod:  "This pod had to be terminated because the cloud instance of node n is gone: alice terminated it in the cloud"},
		"nobody knows who terminated it": {said: Evidence{What: EvidenceTerminated}, code: CloudInstanceGone,
			node: "The cloud instance of node n is gone: somebody unknown terminated it in the cloud",
			pod:  "This pod had to be terminated because the cloud instance of node n is gone: somebody unknown terminated it in the cloud"},
		"spot": {said: Evidence{What: EvidenceSpot, Who: "Amazon EC2", Detail: "Server.SpotInstanceTermination"},
			code: SpotInterrupted,
			node: "The cloud took the spot instance of this node back (Server.SpotInstanceTermination)",
			pod:  "This pod had to be terminated because the cloud took the spot instance of its node back (Server.SpotInstanceTermination)"},
		"shut down from within": {said: Evidence{What: EvidenceShutdown}, code: NodeHalted,
			node: "This node went away because somebody unknown shut its system down on it",
			pod:  "This pod had to be terminated because somebody unknown shut its system down on the node"},
		"shut down from within, and heard": {said: Evidence{What: EvidenceShutdown},
			heard: []Evidence{{What: EvidenceHalt, Who: "bob"}, {What: EvidencePowerButton}}, code: NodeHalted,
			node: "This node went away because bob ran sudo halt on it",
			pod:  "This pod had to be terminated because bob ran sudo halt on the node"},
		"its host failed": {said: Evidence{What: EvidenceHostFailure, Detail: "Server.InternalError"}, code: HardwareFailure,
			node: "This node had to be removed because its hardware failed (Server.InternalError)",
			pod:  "This pod had to be terminated because the underlying hardware failed (Server.InternalError)"},
		"a TPU's host was maintained": {said: Evidence{What: EvidenceMaintenance, Detail: "compute.instances.preempted"}, code: NodeShutdown,
			node: "This node was shut down (compute.instances.preempted)",
			pod:  "This pod had to be terminated because its node was shut down (compute.instances.preempted)"},
		"its group scaled in": {said: Evidence{What: EvidenceScaleIn, Who: "autoscaling.amazonaws.com"}, code: NodeScaledDown,
			node: "This node was scaled down (scale-in)",
			pod:  "This pod had to be terminated because its node was scaled down (scale-in)"},
		"a panic": {said: Evidence{What: EvidencePanic, Detail: "Fatal exception"}, code: KernelPanic,
			node: "This node died unexpectedly because its kernel panicked! (Fatal exception)",
			pod:  "This pod died unexpectedly because the underlying node kernel panicked! (Fatal exception)"},
		"nothing that is known here": {said: Evidence{What: "eaten-by-a-whale"}},
		"nothing":                    {},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ok := OfCloud("n", tt.said, tt.heard)
			if ok != (tt.code != "") {
				t.Fatalf("it explains the end: %t", ok)
			}
			if !ok {
				return
			}
			if pod := ForPodsOf("n", r); string(r.Text) != tt.node || string(pod.Text) != tt.pod ||
				r.Code != tt.code || pod.Code != tt.code {
				t.Errorf("%s: %q, pods %s: %q", r.Code, r.Text, pod.Code, pod.Text)
			}
		})
	}
}

func TestYieldsToCloud(t *testing.T) {
	t.Parallel()
	spot := []Evidence{{What: EvidenceSpot, Who: "Amazon EC2", Detail: "terminate"}}
	asAnnounced := New(Node, SpotInterrupted, "terminate", "Amazon EC2")
	tests := map[string]struct {
		of    Reason
		heard []Evidence
		to    string
		want  bool
	}{
		"the instance is gone":         {of: New(Node, CloudInstanceGone, "n", "ccm"), to: EvidenceSpot, want: true},
		"gone, and who terminated it":  {of: Reason{Code: CloudInstanceGone, Text: "The cloud instance of node n is gone: alice terminated it in the cloud"}, to: EvidenceScaleIn, want: true},
		"unexplained":                  {of: New(Node, Unexplained, "x", "x"), to: EvidenceHostFailure, want: true},
		"shut down":                    {of: New(Node, NodeShutdown, "x", "x"), to: EvidenceTerminated, want: true},
		"silent, and its host failed":  {of: New(Node, NodeUnreachable, "Ready=Unknown", "x"), to: EvidenceHostFailure, want: true},
		"silent, and so terminated":    {of: New(Node, NodeUnreachable, "Ready=Unknown", "x"), to: EvidenceTerminated},
		"the power button":             {of: New(Node, NodeHalted, powerButton, "power button"), to: EvidenceSpot, want: true},
		"somebody's command":           {of: New(Node, NodeHalted, "bob ran sudo halt", "bob"), to: EvidenceTerminated},
		"a panic":                      {of: New(Node, KernelPanic, "Oops", "kernel"), to: EvidenceTerminated},
		"the autoscaler":               {of: New(Node, NodeScaledDown, "by autoscaler", "autoscaler"), to: EvidenceTerminated},
		"a person's own words":         {of: Reason{Code: CloudInstanceGone, Text: "I sold it"}, to: EvidenceSpot},
		"own words under another code": {of: Reason{Code: NodeShutdown, Text: "moving house"}, to: EvidenceSpot},
		"what was announced, and the cloud says otherwise": {of: asAnnounced, heard: spot, to: EvidenceHostFailure, want: true},
		"what was announced, in other words":               {of: asAnnounced, heard: spot, to: EvidenceSpot},
		"spot, by somebody else's word":                    {of: asAnnounced, to: EvidenceHostFailure},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.of.YieldsToCloud(Evidence{What: tt.to}, tt.heard); got != tt.want {
				t.Errorf("it yields: %t", got)
			}
		})
	}
}

func TestFollowsNode(t *testing.T) {
	t.Parallel()
	failing := []Evidence{{What: EvidenceHostFailure, Who: "Amazon EC2", Detail: "instance-retirement"}}
	tests := map[string]struct {
		of    Reason
		heard []Evidence
		want  bool
	}{
		"the instance is gone":          {of: New(Pod, CloudInstanceGone, "n", ""), want: true},
		"evicted as unreachable":        {of: New(Pod, NodeUnreachable, "node.kubernetes.io/unreachable", ""), want: true},
		"its node was deleted":          {of: New(Pod, NodeDeleted, "n", ""), want: true},
		"its node was deleted, and why": {of: New(Pod, NodeDeleted, "n: moving house", "")},
		"its node was deleted, and nobody said why": {want: true,
			of: ForPodsOf("n", New(Node, Unexplained, "a controller", ""))},
		"another node was deleted":      {of: New(Pod, NodeDeleted, "m", "")},
		"as announced":                  {of: New(Pod, HardwareFailure, "instance-retirement", ""), heard: failing, want: true},
		"as announced, then drained":    {of: New(Pod, HardwareFailure, "instance-retirement; drained by bob", ""), heard: failing, want: true},
		"another failure":               {of: New(Pod, HardwareFailure, "disk sda", ""), heard: failing},
		"drained":                       {of: New(Pod, NodeDrained, "by bob", "")},
		"preempted":                     {of: New(Pod, Preempted, "a/b", "")},
		"a person's words":              {of: Reason{Code: UserRequest, Text: "no longer needed"}},
		"a person's words under a code": {of: Reason{Code: Unexplained, Text: "no longer needed"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.of.FollowsNode("n", tt.heard); got != tt.want {
				t.Errorf("it follows its node: %t", got)
			}
		})
	}
}
