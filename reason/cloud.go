package reason

import (
	"cmp"
	"slices"
	"strings"
)

// EvidenceTerminated is that somebody had the machine removed in the cloud.
const EvidenceTerminated = "terminated"

// powerButton is what a node says that was told to stop by its hardware. In a cloud, that is how
// the hypervisor says it.
const powerButton = "the power button was pressed"

// CloudSource is how an amendment names the API of a cloud.
func CloudSource(cloud string) string { return cloud + " api" }

// OfCloud returns what a Node died of by what its cloud says afterwards; false if that is nothing.
// Who shut a system down from within the cloud cannot know, but may have been heard on the node.
func OfCloud(node string, said Evidence, heard []Evidence) (Reason, bool) {
	who := cmp.Or(clean(said.Who, MaxByBytes), "somebody unknown")
	switch said.What {
	case EvidenceTerminated:
		gone := nodeSentences[CloudInstanceGone].fill(node)
		return Reason{Code: CloudInstanceGone, By: who,
			Text: Clean(string(gone) + ": " + who + " terminated it in the cloud")}, true
	case EvidenceShutdown:
		for _, e := range slices.Backward(heard) {
			if e.OfShutdown() && e.Who != "" {
				return e.reason(node)
			}
		}
		return New(Node, NodeHalted, who+" shut its system down", who), true
	case EvidencePanic:
		return New(Node, KernelPanic, said.Detail, "kernel of node "+node), true
	default:
		return said.announcement()
	}
}

// YieldsToCloud reports whether r, with which a Node left, says no more than what its cloud says
// afterwards: that the Node was silent, off or gone, that nobody said why, or what had been heard
// of the cloud before. A panic that was heard, a command that was run and the words of a person or
// a tool stay. So does a node that was removed because it was silent: who then terminated its
// instance is no cause.
func (r Reason) YieldsToCloud(said Evidence, heard []Evidence) bool {
	if r.announcedAs(said, heard) {
		return false
	}
	detail, ours := nodeSentences[r.Code].detail(r.Text)
	switch r.Code {
	case Unexplained, NodeShutdown:
		return ours
	case CloudInstanceGone:
		_, ours = strings.CutPrefix(string(r.Text), goneUntil(Node))
		return ours
	case NodeUnreachable:
		return ours && said.What != EvidenceTerminated && said.What != EvidenceScaleIn
	case NodeHalted:
		return detail == powerButton && said.What != EvidenceShutdown
	default:
		return slices.ContainsFunc(heard, func(e Evidence) bool { return e.announces(r) })
	}
}

// goneUntil is how the sentence of an instance that is gone begins.
func goneUntil(s Subject) string {
	before, _, _ := strings.Cut(string(sentencesOf(s)[CloudInstanceGone]), "%")
	return before
}

// announcedAs reports whether the cloud had announced what it says now, in other words.
func (r Reason) announcedAs(said Evidence, heard []Evidence) bool {
	return announcements[said.What] == r.Code &&
		slices.ContainsFunc(heard, func(e Evidence) bool { return e.announces(r) })
}

// announces reports whether r is what the cloud's announcement led to.
func (e Evidence) announces(r Reason) bool {
	a, ok := e.announcement()
	return ok && a.Code == r.Code && a.Text == r.Text
}

// FollowsNode reports whether r, a reason of a pod, is no more than what the end of its node looked
// like: then it is known better when that is. Like [Reason.YieldsToCloud], it leaves words alone
// that somebody wrote.
func (r Reason) FollowsNode(node string, heard []Evidence) bool {
	detail, ours := podSentences[r.Code].detail(r.Text)
	switch r.Code {
	case Unexplained, NodeShutdown, NodeUnreachable:
		return ours
	case CloudInstanceGone:
		return strings.HasPrefix(string(r.Text), goneUntil(Pod))
	case NodeDeleted:
		why, because := strings.CutPrefix(detail, node+": ")
		_, nobodySaid := nodeSentences[Unexplained].detail(Text(why))
		return detail == node || because && nobodySaid
	case NodeHalted:
		return detail == powerButton
	default:
		return ours && slices.ContainsFunc(heard, func(e Evidence) bool {
			a, ok := e.announcement()
			said, _ := nodeSentences[a.Code].detail(a.Text)
			// What drained the node may stand behind it.
			return ok && a.Code == r.Code &&
				(said == detail || strings.HasPrefix(detail, said+"; "))
		})
	}
}
