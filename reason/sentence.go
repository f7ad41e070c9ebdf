package reason

import "strings"

// A sentence has at most one gap, written as %, which the detail fills.
type sentence string

// fill fills the gap with detail, cut so that the whole stays within MaxTextBytes.
func (s sentence) fill(detail string) Text {
	before, after, gap := strings.Cut(string(s), "%")
	if !gap {
		return Text(before)
	}
	return Text(before + clean(detail, MaxTextBytes-len(before)-len(after)) + after)
}

// detail is the inverse of fill: it returns what fills the gap in a text made from this sentence.
func (s sentence) detail(t Text) (string, bool) {
	before, after, _ := strings.Cut(string(s), "%")
	rest, ok := strings.CutPrefix(string(t), before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, after)
}

// The words of the first five are a contract with users: scripts match them.
var podSentences = map[Code]sentence{
	Preempted:         "This pod was preempted by a higher priority job (%)",
	HardwareFailure:   "This pod had to be terminated because the underlying hardware failed (%)",
	NodeHalted:        "This pod had to be terminated because % on the node",
	CloudInstanceGone: "This pod had to be terminated because the cloud instance of node % is gone",
	KernelPanic:       "This pod died unexpectedly because the underlying node kernel panicked! (%)",

	NodeDrained:     "This pod had to be terminated because its node was drained (%)",
	Evicted:         "This pod was evicted (%)",
	NodePressure:    "This pod was evicted because its node ran low on a resource (%)",
	NodeShutdown:    "This pod had to be terminated because its node was shut down (%)",
	NodeUnreachable: "This pod had to be terminated because its node was unreachable or unhealthy (%)",
	OutOfService:    "This pod had to be terminated because its node was declared out of service (%)",
	NodeScaledDown:  "This pod had to be terminated because its node was scaled down (%)",
	SpotInterrupted: "This pod had to be terminated because the cloud took the spot instance of its node back (%)",
	Refused:         "This pod was refused by the kubelet of its node (%)",
	NodeDeleted:     "This pod had to be terminated because its node was deleted (%)",

	ScaledDown:         "This pod was removed because its owner needs fewer pods (%)",
	OwnerDeleted:       "This pod was removed because its owner was deleted (%)",
	JobFinished:        "This pod was removed because its job is over (%)",
	JobFailed:          "This pod was removed because its job failed (%)",
	Suspended:          "This pod was removed because its job was suspended (%)",
	RemovedByOwner:     "This pod was removed by the controller of its owner (%)",
	NamespaceDeleted:   "This pod was removed because its namespace was deleted (%)",
	RolloutReplaced:    "This pod was replaced by a newer version of itself (%)",
	TerminatedPodLimit: "This pod had finished and was removed because the cluster keeps only a limited number of finished pods",
	NeverScheduled:     "This pod was deleted before it was ever scheduled to a node",
	AlreadyEnded:       "This pod had already ended by itself, only its object was removed (%)",
	DeadlineExceeded:   "This pod was stopped because it ran longer than its own deadline allows (%)",
	LimitExceeded:      "This pod was evicted because it used more than its own limit allows (%)",
	Unexplained:        "Nobody said why this pod was deleted, and nothing could be inferred (deleted by %)",
}

var nodeSentences = map[Code]sentence{
	HardwareFailure:   "This node had to be removed because its hardware failed (%)",
	NodeHalted:        "This node went away because % on it",
	CloudInstanceGone: "The cloud instance of node % is gone",
	KernelPanic:       "This node died unexpectedly because its kernel panicked! (%)",
	NodeDrained:       "This node was removed after it had been drained (%)",
	NodeShutdown:      "This node was shut down (%)",
	NodeUnreachable:   "This node was removed because it was unreachable or unhealthy (%)",
	OutOfService:      "This node was removed because it had been declared out of service (%)",
	NodeScaledDown:    "This node was scaled down (%)",
	SpotInterrupted:   "The cloud took the spot instance of this node back (%)",
	Unexplained:       "Nobody said why this node was deleted, and nothing could be inferred (deleted by %)",
}

func sentencesOf(s Subject) map[Code]sentence {
	if s == Node {
		return nodeSentences
	}
	return podSentences
}

// New returns the reason of code c for a pod or a node: the sentence of the vocabulary with detail
// in its gap. A code without a sentence for that kind of object (UserRequest, whose words are the
// user's own) gets the detail alone.
func New(s Subject, c Code, detail, by string) Reason {
	text := Clean(detail)
	if form, ok := sentencesOf(s)[c]; ok {
		text = form.fill(detail)
	}
	return Reason{Code: c, Text: text, By: clean(by, MaxByBytes)}
}

// ForPodsOf translates the reason that a node left with into the reason of the pods that died with
// it. The words of a person or of a tool are quoted: under their code if it is a disruption of
// nodes, or else as the reason for the node's deletion.
func ForPodsOf(node string, r Reason) Reason {
	form, ours := nodeSentences[r.Code]
	if !ours || !r.Code.OfNodes() {
		return New(Pod, NodeDeleted, node+": "+string(r.Text), r.By)
	}
	if detail, ok := form.detail(r.Text); ok {
		return New(Pod, r.Code, detail, r.By)
	}
	switch r.Code {
	case CloudInstanceGone:
		gone := New(Pod, CloudInstanceGone, node, r.By)
		if more, ok := strings.CutPrefix(string(r.Text),
			string(nodeSentences[CloudInstanceGone].fill(node))); ok { // who terminated it
			gone.Text = Clean(string(gone.Text) + more)
		}
		return gone
	case NodeHalted: // Its sentence has a gap for who ran what, not for words.
		return New(Pod, NodeShutdown, node+": "+string(r.Text), r.By)
	default:
		return New(Pod, r.Code, string(r.Text), r.By)
	}
}
