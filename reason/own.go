package reason

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// ownReason keeps what somebody wrote, and completes a missing code and actor.
func (n inference) ownReason() (Reason, bool) {
	subject, r, err := n.carried()
	if err != nil {
		return Reason{}, false
	}
	if r.Code == "" {
		r.Code = codeOf(subject, r.Text)
	}
	if r.By == "" {
		r.By = clean(n.Remover.User, MaxByBytes)
	}
	return r, true
}

// carried returns the reason on the object itself. A condition of a pod that neither ended nor
// terminates was written for a deletion that may have been called off, so it does not count: the
// current deletion has to be explained anew.
func (n inference) carried() (Subject, Reason, error) {
	switch {
	case n.Pod != nil && n.settled():
		r, err := n.Keys.Pod.OnPod(n.Pod)
		return Pod, r, err
	case n.Pod != nil:
		r, err := n.Keys.Pod.Read(n.Pod.Annotations)
		return Pod, r, err
	case n.Node != nil:
		r, err := n.Keys.Node.Read(n.Node.Annotations)
		return Node, r, err
	default:
		return Node, Reason{}, ErrBlank
	}
}

// codeOf returns the code that belongs to a text: that of the sentence, if it is one of ours, or
// else that of the user's own words.
func codeOf(s Subject, t Text) Code {
	for code, form := range sentencesOf(s) {
		if _, ok := form.detail(t); ok {
			return code
		}
	}
	return UserRequest
}

// requesterSays adopts what the requester of an eviction wrote on it, unless the pod had ended
// before, or has to go because of its node's own trouble: whoever drains a node because its disk
// failed does not always say so.
func (n inference) requesterSays() (Reason, bool) {
	if !n.Remover.Evicts || Clean(n.Remover.Says) == "" {
		return Reason{}, false
	}
	by := n.evictor()
	if Finished(n.Pod) {
		return Reason{}, false
	}
	if _, ok := n.nodeSays(); ok {
		return Reason{}, false
	}
	return always(n.evictedBy(by, "by "+by+": "+n.Remover.Says))
}

// evictor names whoever evicts, and on whose behalf.
func (n inference) evictor() string {
	if n.Remover.For == "" {
		return n.Remover.User
	}
	return n.Remover.User + " for " + n.Remover.For
}

// evictedBy distinguishes an eviction from a drain, which goes with a cordon.
func (n inference) evictedBy(by, detail string) Reason {
	if n.Node != nil && n.Node.Spec.Unschedulable {
		return New(Pod, NodeDrained, "node "+n.Node.Name+" "+detail, by)
	}
	return New(Pod, Evicted, detail, by)
}

func podCondition(pod *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == t {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// own is the prefix of the names of Epitaph's components.
const own = "epitaph/"

// OwnDeleter returns the component of Epitaph that deletes an object whose reason is by somebody:
// that component itself, or else the garbage collector, which also carries out what others caused.
func OwnDeleter(by string) string {
	if strings.HasPrefix(by, own) {
		return by
	}
	return ByGC
}
