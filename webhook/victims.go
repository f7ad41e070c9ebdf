package webhook

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
)

// maxVictims bounds the victims that are remembered after their end, at some 2 KiB each; of those
// that are there, the cache has as many.
const maxVictims = 10_000

// A victim is a pod whose preemptor is not known for certain.
type victim struct {
	pod *corev1.Pod
	// own is the reason that it carries, or that stands in its record.
	own reason.Reason
	// gone is when it was gone; zero while it is there.
	gone time.Time
}

// groups are how a reason begins to name a pod group; see package reason.
var groups = []string{"pod group ", "the pod group of "}

// supposes tells whether the reason names the pod itself, not a group: what becomes of one member
// of a group says nothing about the others.
func (v victim) supposes(p *corev1.Pod) bool {
	id := v.own.Preemptor()
	return id == string(p.UID) || id == p.Namespace+"/"+p.Name ||
		slices.ContainsFunc(groups,
			func(begins string) bool { return strings.HasPrefix(id, begins) })
}

// victims are the open ones, indexed by what may change the answer. They follow from what the pods
// say of themselves and from the records of those that are gone: a new leader finds the same.
type victims struct {
	mu     sync.Mutex
	all    map[types.UID]victim
	byNode map[string]map[types.UID]bool
	byID   map[string]map[types.UID]bool
	// left is how many of them are gone; expired is when those that had been gone for too long were
	// last dropped.
	left    int
	expired time.Time
}

func newVictims() *victims {
	return &victims{all: map[types.UID]victim{}, byNode: map[string]map[types.UID]bool{},
		byID: map[string]map[types.UID]bool{}}
}

// keep notes a victim that terminates.
func (s *victims) keep(pod *corev1.Pod, own reason.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(victim{pod: pod, own: own})
}

// leave notes that a victim is gone, as long as there is room.
func (s *victims) leave(pod *corev1.Pod, own reason.Reason, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(pod.UID)
	s.expire(at)
	if s.left < maxVictims {
		s.put(victim{pod: ended(pod, at), own: own, gone: at})
	}
}

// ended is a pod as it was in the end. One without grace was gone before a deletion timestamp was
// set on it.
func ended(pod *corev1.Pod, at time.Time) *corev1.Pod {
	if pod.DeletionTimestamp == nil {
		pod = pod.DeepCopy()
		pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(at)),
			ptr.To(int64(0))
	}
	return pod
}

// drop forgets a pod that is not, or no longer, a victim.
func (s *victims) drop(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(uid)
}

// settle notes what the record of a victim now says.
func (s *victims) settle(v victim, r reason.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(v.pod.UID)
	if r.LacksPreemptor() {
		v.own = r
		s.put(v)
	}
}

// get returns a victim that is still to be looked at.
func (s *victims) get(uid types.UID, now time.Time) (victim, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	v, ok := s.all[uid]
	return v, ok && !v.tooLate(now)
}

// of returns the victims that may have been preempted for the pod: those of the node that it is
// nominated to, and those that are said to have been.
func (s *victims) of(p *corev1.Pod) []types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []types.UID
	for _, some := range []map[types.UID]bool{
		s.byNode[p.Status.NominatedNodeName], s.byID[string(p.UID)], s.byID[p.Namespace+"/"+p.Name],
	} {
		all = slices.AppendSeq(all, maps.Keys(some))
	}
	return all
}

func (s *victims) put(v victim) {
	s.remove(v.pod.UID)
	s.all[v.pod.UID] = v
	if !v.gone.IsZero() {
		s.left++
	}
	add(s.byNode, v.pod.Spec.NodeName, v.pod.UID)
	add(s.byID, v.own.Preemptor(), v.pod.UID)
}

func (s *victims) remove(uid types.UID) {
	v, ok := s.all[uid]
	if !ok {
		return
	}
	delete(s.all, uid)
	if !v.gone.IsZero() {
		s.left--
	}
	del(s.byNode, v.pod.Spec.NodeName, uid)
	del(s.byID, v.own.Preemptor(), uid)
}

// tooLate tells whether the victim has been gone for too long.
func (v victim) tooLate(
	now time.Time) bool {
	return !v.gone.IsZero() && now.Sub(v.gone) > nameAfter
}

// expire forgets, now and then, victims that have been gone for too long.
func (s *victims) expire(now time.Time) {
	if s.left == 0 || now.Sub(s.expired) < nameLast {
		return
	}
	s.expired = now
	for uid, v := range s.all { // deleting while ranging is safe
		if v.tooLate(now) {
			s.remove(uid)
		}
	}
}

func add(to map[string]map[types.UID]bool, key string, uid types.UID) {
	if to[key] == nil {
		to[key] = map[types.UID]bool{}
	}
	to[key][uid] = true
}

func del(from map[string]map[types.UID]bool, key string, uid types.UID) {
	delete(from[key], uid)
	if len(from[key]) == 0 {
		delete(from, key)
	}
}
