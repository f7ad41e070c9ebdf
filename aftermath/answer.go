package aftermath

import (
	"cmp"
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// downBefore is how long before a Node left, or before its instance ended, a pod may have been
	// removed because of that: a machine takes its time to shut down, and pods that tolerate its
	// silence for a while are evicted before somebody removes the Node.
	downBefore = 30 * time.Minute
	// unexplainedBefore is the same for pods that left without a word: they went with the node only
	// if that was about to go, as far as the clocks agree.
	unexplainedBefore = time.Minute
)

// An answer is what a cloud said of a Node's end, beside what had been heard on the node.
type answer struct {
	said     reason.Evidence
	heard    []reason.Evidence
	panicked bool
	source   string
	// ended is when the node had ended at the latest.
	ended time.Time
}

// answerOn reads the answer on a record. A console that ends with a panic says more than the call
// that removed the machine; failing hardware may be why the kernel panicked.
func answerOn(record *v1alpha1.NodeObituary) answer {
	c := record.Status.Cloud
	a := answer{source: reason.CloudSource(c.Cloud), ended: audit.LeftAt(record),
		said: reason.Evidence{What: c.What, Who: c.Who, Detail: c.Detail, When: c.When.Time}}
	if when := c.When.Time; !when.IsZero() && when.Before(a.ended) {
		a.ended = when
	}
	for _, e := range record.Spec.Evidence {
		a.heard = append(a.heard, reason.Evidence{What: e.What, Who: e.Who, Detail: e.Detail,
			When: e.When.Time})
	}
	if line := obituary.PanicIn(c.KernelLog); line != "" {
		a.panicked = true
		if c.What != reason.EvidenceHostFailure {
			a.said.What, a.said.Detail = reason.EvidencePanic, line
		}
	}
	return a
}

// explains returns the reason that the answer supplies; false if the one on record stays.
func (a answer) explains(record *v1alpha1.NodeObituary) (reason.Reason, bool) {
	why, ok := reason.OfCloud(record.Spec.NodeName, a.said, a.heard)
	if !ok || !a.speaksIn(record) && !audit.ReasonOf(record).YieldsToCloud(a.said, a.heard) {
		return reason.Reason{}, false
	}
	return why, true
}

// speaksIn reports whether the reason on record was supplied by the cloud.
func (a answer) speaksIn(record *v1alpha1.NodeObituary) bool {
	return record.Spec.Amended != nil && record.Spec.Amended.From == a.source
}

// concerns reports whether a pod's record says no more than what the end of the Node looked like.
func (a answer) concerns(record *v1alpha1.NodeObituary, o *v1alpha1.PodObituary) bool {
	if o.Spec.Amended != nil && o.Spec.Amended.From == a.source &&
		o.Spec.NodeObituary == record.Name {
		return true
	}
	if cmp.Or(o.Spec.NodeObituary, record.Name) != record.Name ||
		o.Spec.Created.After(audit.LeftAt(record)) {
		return false
	}
	before := downBefore
	if o.Spec.Code == string(reason.Unexplained) {
		if o.Spec.NodeObituary == "" {
			return false
		}
		before = unexplainedBefore
	}
	asked := o.Spec.Removed.Time
	if o.Spec.DeletionRequested != nil {
		asked = o.Spec.DeletionRequested.Time
	}
	return !asked.Before(a.ended.Add(-before)) &&
		podReason(o).FollowsNode(record.Spec.NodeName, a.heard)
}

func podReason(o *v1alpha1.PodObituary) reason.Reason {
	return reason.Reason{Code: reason.Code(o.Spec.Code), Text: reason.Clean(o.Spec.Reason),
		By: o.Spec.By}
}
