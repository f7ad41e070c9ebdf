package story

import (
	"fmt"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// OfNode tells the story of a node and of the recorded pods that died with it.
func OfNode(o *v1alpha1.NodeObituary, pods []v1alpha1.PodObituary) Story {
	s := Story{Title: say("Node " + clean(o.Spec.NodeName)).then(departed(o)...).say(".")}
	s.add(whatHappened, say(clean(o.Spec.Reason)), say(meaningOfNode(o)), amended(o.Spec.Amended),
		say(kernel(o)), say(instance(o)), cloudSaid(o), say(back(o)))
	s.add(before, evidence(o.Spec.Evidence)...)
	s.add(ItsPods, summaries(pods)...)
	return s
}

// departed says when the node left, or that only a boot of it ended.
func departed(o *v1alpha1.NodeObituary) Line {
	if o.Spec.Returned {
		return say(" went down at ").at(o.Spec.Removed).say(", and came back")
	}
	return say(" left at ").at(o.Spec.Removed)
}

// amended says how the reason became known after the fact.
func amended(a *v1alpha1.Amendment) Line {
	if a == nil {
		return nil
	}
	line := say("That was found out later: it was supplied at ").at(a.At).
		say(", from " + clean(a.From))
	if was := clean(a.Was); was != "" {
		line = line.say("; the record had said " + was)
	}
	return line.say(".")
}

func meaningOfNode(o *v1alpha1.NodeObituary) string {
	line := clean(o.Spec.Code)
	switch o.Spec.Class {
	case reason.Disruption.String():
	case reason.Routine.String():
		line += ": as the cluster or a person intended"
	default:
		line += unexplained(reason.Code(o.Spec.Code))
	}
	if o.Spec.Returned { // nobody deleted it, and the record is all Epitaph's
		return line + deleter(o.Spec.By, o.Spec.By) + "."
	}
	return line + deleter(o.Spec.By, o.Spec.DeletedBy) + "."
}

func kernel(o *v1alpha1.NodeObituary) string {
	switch n := len(o.Spec.KernelLog); n {
	case 0:
		if c := o.Status.Cloud; c != nil && len(c.KernelLog) > 0 {
			return fmt.Sprintf("The last lines of its console, as the cloud has them, are kept: %d.",
				len(c.KernelLog))
		}
		return ""
	case 1:
		return "The last line of its kernel is kept."
	default:
		return fmt.Sprintf("The last %d lines of its kernel are kept.", n)
	}
}

// instance names what the cloud can be asked about.
func instance(o *v1alpha1.NodeObituary) string {
	if id := clean(o.Spec.ProviderID); id != "" {
		return "Its instance was " + id + "."
	}
	return ""
}

func back(o *v1alpha1.NodeObituary) string {
	if o.Spec.SucceededBy == "" || o.Spec.Returned {
		return ""
	}
	return "A node of the same name has come since."
}

func evidence(all []v1alpha1.Evidence) []Line {
	var lines []Line
	for _, e := range all {
		line := at(e.When).say(": " + clean(e.What))
		if who := clean(e.Who); who != "" {
			line = line.say(" by " + who)
		}
		if detail := clean(e.Detail); detail != "" {
			line = line.say(" (" + detail + ")")
		}
		lines = append(lines, line)
	}
	return lines
}

// maxSummaries bounds the pods that a story lists; more are counted.
const maxSummaries = 50

func summaries(pods []v1alpha1.PodObituary) []Line {
	var lines []Line
	for n, p := range pods {
		if n == maxSummaries {
			return append(lines, say(fmt.Sprintf("and %d more.", len(pods)-n)))
		}
		name := clean(p.Namespace) + "/" + clean(p.Spec.PodName)
		lines = append(lines, at(p.Spec.Removed).say(": "+name+", "+clean(p.Spec.Code)))
	}
	return lines
}
