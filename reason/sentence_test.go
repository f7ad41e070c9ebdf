package reason

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// The words are what users read and what scripts match: the table is the contract, not what the
// code computes.
func TestPodSentences(t *testing.T) {
	t.Parallel()
	tests := map[Code]Text{
		Preempted:         "This pod was preempted by a higher priority job (x)",
		HardwareFailure:   "This pod had to be terminated because the underlying hardware failed (x)",
		NodeHalted:        "This pod had to be terminated because x on the node",
		CloudInstanceGone: "This pod had to be terminated because the cloud instance of node x is gone",
		KernelPanic:       "This pod died unexpectedly because the underlying node kernel panicked! (x)",

		NodeDrained:     "This pod had to be terminated because its node was drained (x)",
		Evicted:         "This pod was evicted (x)",
		NodePressure:    "This pod was evicted because its node ran low on a resource (x)",
		NodeShutdown:    "This pod had to be terminated because its node was shut down (x)",
		NodeUnreachable: "This pod had to be terminated because its node was unreachable or unhealthy (x)",
		OutOfService:    "This pod had to be terminated because its node was declared out of service (x)",
		NodeScaledDown:  "This pod had to be terminated because its node was scaled down (x)",
		SpotInterrupted: "This pod had to be terminated because the cloud took the spot instance of its node back (x)",
		NodeDeleted:     "This pod had to be terminated because its node was deleted (x)",

		ScaledDown:         "This pod was removed because its owner needs fewer pods (x)",
		OwnerDeleted:       "This pod was removed because its owner was deleted (x)",
		JobFinished:        "This pod was removed because its job is over (x)",
		JobFailed:          "This pod was removed because its job failed (x)",
		Suspended:          "This pod was removed because its job was suspended (x)",
		RemovedByOwner:     "This pod was removed by the controller of its owner (x)",
		NamespaceDeleted:   "This pod was removed because its namespace was deleted (x)",
		RolloutReplaced:    "This pod was replaced by a newer version of itself (x)",
		TerminatedPodLimit: "This pod had finished and was removed because the cluster keeps only a limited number of finished pods",
		NeverScheduled:     "This pod was deleted before it was ever scheduled to a node",
		AlreadyEnded:       "This pod had already ended by itself, only its object was removed (x)",
		Refused:            "This pod was refused by the kubelet of its node (x)",
		DeadlineExceeded:   "This pod was stopped because it ran longer than its own deadline allows (x)",
		LimitExceeded:      "This pod was evicted because it used more than its own limit allows (x)",
		UserRequest:        "x",
		Unexplained:        "Nobody said why this pod was deleted, and nothing could be inferred (deleted by x)",
	}
	for code := range classes {
		if got := New(Pod, code, "x", "me"); got.Text != tests[code] || got.Code != code ||
			got.By != "me" {
			t.Errorf("New(Pod, %s) = %+v, want %q", code, got, tests[code])
		}
	}
}

func TestNodeSentences(t *testing.T) {
	t.Parallel()
	tests := map[Code]Text{
		HardwareFailure:   "This node had to be removed because its hardware failed (x)",
		NodeHalted:        "This node went away because x on it",
		CloudInstanceGone: "The cloud instance of node x is gone",
		KernelPanic:       "This node died unexpectedly because its kernel panicked! (x)",
		NodeDrained:       "This node was removed after it had been drained (x)",
		NodeShutdown:      "This node was shut down (x)",
		NodeUnreachable:   "This node was removed because it was unreachable or unhealthy (x)",
		OutOfService:      "This node was removed because it had been declared out of service (x)",
		NodeScaledDown:    "This node was scaled down (x)",
		SpotInterrupted:   "The cloud took the spot instance of this node back (x)",
		Unexplained:       "Nobody said why this node was deleted, and nothing could be inferred (deleted by x)",
	}
	for code := range nodeSentences {
		if got := New(Node, code, "x", "me").Text; got != tests[code] {
			t.Errorf("New(Node, %s) = %q, want %q", code, got, tests[code])
		}
	}
}

// TestExamples are the sentences as users know them, with realistic details.
func TestExamples(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ got, want Text }{
		"preempted": {New(Pod, Preempted, "batch/urgent", "").Text,
			"This pod was preempted by a higher priority job (batch/urgent)"},
		"halted": {New(Pod, NodeHalted, "bob ran sudo halt", "").Text,
			"This pod had to be terminated because bob ran sudo halt on the node"},
		"hostile detail": {
			New(Pod, KernelPanic, "\x1b[31mOops\n", "").Text,
			`This pod died unexpectedly because the underlying node kernel panicked! (\x1b[31mOops)`,
		},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", name, tt.got, tt.want)
		}
	}
}

func TestSentencesLeaveRoom(t *testing.T) {
	t.Parallel()
	for _, forms := range []map[Code]sentence{podSentences, nodeSentences} {
		for code, form := range forms {
			if len(form) > 256 || strings.Count(string(form), "%") > 1 {
				t.Errorf("the sentence of %s has %d bytes and %d gaps, want at most 256 and 1",
					code, len(form), strings.Count(string(form), "%"))
			}
		}
	}
}

// A text identifies its code only if it fits one sentence and no other.
func TestSentencesAreTold(t *testing.T) {
	t.Parallel()
	for _, s := range []Subject{Pod, Node} {
		for code := range sentencesOf(s) {
			if got := codeOf(s, New(s, code, "x", "").Text); got != code {
				t.Errorf("codeOf(%s, sentence of %s) = %s", s, code, got)
			}
		}
	}
	if got := codeOf(Pod, "wrong image"); got != UserRequest {
		t.Errorf("codeOf(own words) = %s, want UserRequest", got)
	}
}

func FuzzSentence(f *testing.F) {
	f.Add("x", uint8(0))
	f.Add(" on the node", uint8(2))
	f.Add(strings.Repeat("é", 1000), uint8(4))
	codes := slices.Sorted(maps.Keys(podSentences))
	f.Fuzz(func(t *testing.T, detail string, n uint8) {
		code := codes[int(n)%len(codes)]
		form := podSentences[code]
		text := form.fill(detail)
		if len(text) > MaxTextBytes {
			t.Fatalf("the sentence of %s has %d bytes", code, len(text))
		}
		back, ok := form.detail(text)
		if !ok {
			t.Fatalf("%q is not taken for a sentence of %s", text, code)
		}
		if !strings.Contains(string(form), "%") {
			return
		}
		if again := form.fill(back); again != text {
			t.Errorf("%q, taken apart and put together: %q", text, again)
		}
	})
}

func TestForPodsOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		give, want Reason
	}{
		"our sentence": {
			New(Node, KernelPanic, "Oops", "epitaph/netconsole"),
			Reason{Code: KernelPanic,
				Text: "This pod died unexpectedly because the underlying node kernel panicked! (Oops)", By: "epitaph/netconsole"},
		},
		"our code, words of a tool": {
			Reason{Code: HardwareFailure, Text: "DIMM 3 is bad", By: "fixer"},
			Reason{Code: HardwareFailure,
				Text: "This pod had to be terminated because the underlying hardware failed (DIMM 3 is bad)", By: "fixer"},
		},
		"the instance is gone, in other words": {
			Reason{Code: CloudInstanceGone, Text: "i-0abc was terminated", By: "fixer"},
			Reason{Code: CloudInstanceGone,
				Text: "This pod had to be terminated because the cloud instance of node n1 is gone",
				By:   "fixer"},
		},
		"halted, in other words": {
			Reason{Code: NodeHalted, Text: "power button", By: "bmc"},
			Reason{Code: NodeShutdown,
				Text: "This pod had to be terminated because its node was shut down (n1: power button)", By: "bmc"},
		},
		"words of a person": {
			Reason{Code: UserRequest, Text: "rack move", By: "alice"},
			Reason{Code: NodeDeleted,
				Text: "This pod had to be terminated because its node was deleted (n1: rack move)",
				By:   "alice"},
		},
		"a code of somebody else": {
			Reason{Code: "rack-move", Text: "rack move", By: "alice"},
			Reason{Code: NodeDeleted,
				Text: "This pod had to be terminated because its node was deleted (n1: rack move)",
				By:   "alice"},
		},
		"unexplained": {
			New(Node, Unexplained, "alice", "alice"),
			Reason{Code: NodeDeleted,
				Text: "This pod had to be terminated because its node was deleted (n1: Nobody said why this node was deleted, and nothing could be inferred (deleted by alice))", By: "alice"},
		},
	}
	for name, tt := range tests {
		if got := ForPodsOf("n1", tt.give); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}
