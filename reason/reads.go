package reason

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Reads says which parts of an object inference reads beyond its own fields. Whoever keeps only a
// part of an object must keep these, or a rule never fires in production.
type Reads struct {
	labels, annotations []Pattern
	conditions          []Mark
}

// ReadsOfNodes returns what the signals look for on Nodes. A Node has few conditions and taints,
// and all of them count; so do all labels, by which pods demand a node.
func (i Inferrer) ReadsOfNodes() Reads {
	r := readsOf(i.marks())
	r.labels = []Pattern{MustPattern("*")}
	r.annotations = append(r.annotations, literally(EvidenceKey, i.Keys.Node.Reason,
		i.Keys.Node.Code, i.Keys.Node.By)...)
	return r
}

// ReadsOfPods returns what is looked for on Pods.
func (i Inferrer) ReadsOfPods() Reads {
	var marks []Mark
	for _, s := range podSignals() {
		marks = append(marks, s.Mark)
	}
	r := readsOf(marks)
	r.annotations = append(r.annotations, literally(WrittenKey, corev1.MirrorPodAnnotationKey,
		i.Keys.Pod.Reason, i.Keys.Pod.Code, i.Keys.Pod.By)...)
	return r
}

// marks returns all marks that the signals look for.
func (i Inferrer) marks() (all []Mark) {
	for _, s := range i.Signals {
		all = slices.Concat(all, []Mark{s.Mark}, s.With, s.Without)
	}
	return all
}

func readsOf(marks []Mark) (r Reads) {
	for _, m := range marks {
		switch {
		case !m.Label.IsZero():
			r.labels = append(r.labels, m.Label)
		case !m.Annotation.IsZero():
			r.annotations = append(r.annotations, m.Annotation)
		case !m.Condition.IsZero():
			r.conditions = append(r.conditions, m)
		}
	}
	return r
}

// literally returns patterns that match these words, whatever characters they contain.
func literally(words ...string) (all []Pattern) {
	for _, w := range words {
		all = append(all, Pattern{text: w})
	}
	return all
}

// Label reports whether the label with that key is read.
func (r Reads) Label(key string) bool { return oneMatches(r.labels, key) }

// Annotation reports whether the annotation with that key is read.
func (r Reads) Annotation(key string) bool { return oneMatches(r.annotations, key) }

// Condition reports whether the condition of a Pod says why the pod goes.
func (r Reads) Condition(c *corev1.PodCondition) bool {
	return c.Type == corev1.DisruptionTarget || c.Type == HeldIn ||
		slices.ContainsFunc(r.conditions, func(m Mark) bool {
			_, ok := m.inCondition(string(c.Type), c.Status, c.Reason, c.Message,
				c.LastTransitionTime)
			return ok
		})
}

func oneMatches(patterns []Pattern, s string) bool {
	return len(patterns) > 0 && anyMatches(patterns, s)
}

// Lasting returns the tolerations that let a pod stay on a tainted node for ever: the others do not
// count when a taint drives it off.
func Lasting(all []corev1.Toleration) []corev1.Toleration {
	var lasting []corev1.Toleration
	for _, t := range all {
		if t.TolerationSeconds == nil && (t.Effect == "" ||
			t.Effect == corev1.TaintEffectNoExecute) {
			lasting = append(lasting, t)
		}
	}
	return lasting
}

// Devices returns the unhealthy ones.
func (Reads) Devices(all []corev1.ResourceStatus) []corev1.ResourceStatus { return Ill(all) }
