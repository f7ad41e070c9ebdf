package story

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// A LivingNode is a node that exists, and what is on record of it.
type LivingNode struct {
	Node *corev1.Node
	// End is the last record of a node of this name, or of an earlier boot of it; nil if there is
	// none.
	End *v1alpha1.NodeObituary
	// Lost are the recorded pods that were on it, after its last end.
	Lost []v1alpha1.PodObituary
	// Only is the namespace whose pods could be read; empty if all could.
	Only string
}

// The headings of a node that exists.
const (
	howItIs       = "How it is"
	whatItHasLost = "What it has lost"
)

// A NodeNow is how a node is, for programs.
type NodeNow struct {
	BootID string `json:"bootID,omitempty"`
	// Ready is the status of its condition of that name: True, False or Unknown.
	Ready      corev1.ConditionStatus `json:"ready"`
	ReadySince metav1.Time            `json:"readySince"`
	Cordoned   bool                   `json:"cordoned,omitempty"`
	// Lost are its recorded pods, the latest last, since its last end.
	Lost []PodData `json:"lost"`
	// LostIn is the only namespace whose pods could be read; empty if all could.
	LostIn string `json:"lostIn,omitempty"`
}

// Story tells how the node is and what it has lost, after how it last ended.
func (l LivingNode) Story(pods []v1alpha1.PodObituary) Story {
	s := Story{Title: say("Node " + clean(l.Node.Name) +
		" is there, and no end of it is on record.")}
	if l.End != nil {
		s = OfNode(l.End, pods)
	}
	s.add(howItIs, l.condition(),
		say("Its boot is "+cmp.Or(clean(l.Node.Status.NodeInfo.BootID), "not known")+"."),
		say(l.cordoned()))
	s.add(whatItHasLost, l.lost()...)
	return s
}

// Data returns the same for programs. The pods are those that ended with the node.
func (l LivingNode) Data(pods []v1alpha1.PodObituary) NodeData {
	d := NodeData{Kind: "Node"}
	d.NodeName, d.NodeUID = l.Node.Name, l.Node.UID
	if l.End != nil {
		d = DataOfNode(l.End, pods)
	}
	now := l.now()
	d.Exists, d.Now, d.Prose = true, &now, l.Story(pods).String()
	return d
}

func (l LivingNode) now() NodeNow {
	n := NodeNow{BootID: l.Node.Status.NodeInfo.BootID, Cordoned: l.Node.Spec.Unschedulable,
		Lost: []PodData{}, LostIn: l.Only}
	n.Ready, n.ReadySince = l.ready()
	for i := range l.Lost {
		n.Lost = append(n.Lost, Facts{Pod: &l.Lost[i]}.data())
	}
	return n
}

// ready is the status of the condition of that name, and since when.
func (l LivingNode) ready() (status corev1.ConditionStatus, since metav1.Time) {
	for _, c := range l.Node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status, c.LastTransitionTime
		}
	}
	return corev1.ConditionUnknown, metav1.Time{}
}

func (l LivingNode) condition() Line {
	switch status, since := l.ready(); status {
	case corev1.ConditionTrue:
		return say("It has been Ready since ").at(since).say(".")
	case corev1.ConditionFalse:
		return say("It has not been Ready since ").at(since).say(".")
	default:
		return say("It has been silent since ").at(since).
			say(": whether it still works is not known.")
	}
}

func (l LivingNode) cordoned() string {
	if !l.Node.Spec.Unschedulable {
		return ""
	}
	return "It is cordoned: the scheduler gives it no pods."
}

// lost names the latest pods, with why they left.
func (l LivingNode) lost() []Line {
	var lines []Line
	if l.Only != "" {
		lines = append(lines, say("Only pods of namespace "+clean(l.Only)+" could be read."))
	}
	if len(l.Lost) == 0 {
		return append(lines, say("No pod of it is on record"+l.since()+"."))
	}
	shown := l.Lost
	if more := len(shown) - maxSummaries; more > 0 {
		lines = append(lines, say(fmt.Sprintf("%d earlier ones are not shown.", more)))
		shown = shown[more:]
	}
	for _, p := range shown {
		lines = append(lines, at(p.Spec.Removed).say(": "+clean(p.Namespace)+"/"+
			clean(p.Spec.PodName)+", "+clean(p.Spec.Code)+": "+clean(p.Spec.Reason)))
	}
	return lines
}

func (l LivingNode) since() string {
	if l.End == nil {
		return ""
	}
	return " since then"
}
