package webhook

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

func victimOf(uid types.UID, node string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: string(uid), UID: uid},
		Spec: corev1.PodSpec{NodeName: node}}
}

func nominee(node string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "urgent", UID: "u"},
		Status: corev1.PodStatus{NominatedNodeName: node}}
}

var unnamed = reason.New(reason.Pod, reason.Preempted,
	"", "system:kube-scheduler").WithoutPreemptor()

// A victim that is gone is looked at for two minutes, and forgotten then, also if nothing is asked
// for it any more.
func TestVictimsThatAreGoneExpire(t *testing.T) {
	t.Parallel()
	s := newVictims()
	s.keep(victimOf("there", "n1"), unnamed)
	s.keep(victimOf("goes", "n1"), unnamed)
	s.leave(victimOf("goes", "n1"), unnamed, now)
	s.leave(victimOf("vanished", "n1"), unnamed, now)
	if v, ok := s.get("vanished", now); !ok || v.pod.DeletionTimestamp == nil ||
		!v.pod.DeletionTimestamp.Time.Equal(now) {
		t.Errorf("of one that had no grace is kept %+v, %t, want it told to stop when it was gone",
			v.pod, ok)
	}
	if n := len(s.of(nominee("n1"))); n != 3 {
		t.Errorf("%d victims of the node are open, want 3", n)
	}
	for _, at := range []time.Duration{nameAfter, nameAfter + time.Second} {
		want := at <= nameAfter
		if _, ok := s.get("goes", now.Add(at)); ok != want {
			t.Errorf("looked at %s after its end: %t, want %t", at, ok, want)
		}
	}
	later := now.Add(nameAfter + time.Minute)
	s.leave(victimOf("late", "n1"), unnamed, later)
	if len(s.all) != 2 || s.left != 1 {
		t.Errorf(
			"%d victims are remembered, %d of them gone; want the one that is there and the one that left last", len(s.all), s.left)
	}
	if _, ok := s.get("there", later); !ok {
		t.Error("the one that is there is forgotten")
	}
}

// Those that are gone are bounded; whoever goes on is not forgotten for their sake.
func TestVictimsThatAreGoneAreBounded(t *testing.T) {
	t.Parallel()
	s := newVictims()
	s.keep(victimOf("there", "n1"), unnamed)
	for n := range maxVictims + 10 {
		s.leave(victimOf(types.UID(fmt.Sprint("gone-", n)), "n1"), unnamed, now)
	}
	if len(s.all) != maxVictims+1 || s.left != maxVictims {
		t.Errorf(
			"%d victims are remembered, %d of them gone; want %d gone and the one that is there",
			len(s.all), s.left, maxVictims)
	}
}

// What is found out settles a victim; one whose preemptor is not known any more stays open.
func TestVictimsSettle(t *testing.T) {
	t.Parallel()
	s := newVictims()
	supposed := reason.New(reason.Pod, reason.Preempted, "batch/urgent", "system:kube-scheduler")
	supposed.Supposed = true
	s.leave(victimOf("a", "n1"), supposed, now)
	if n := len(s.of(nominee(""))); n != 1 {
		t.Errorf("%d victims are said to have been preempted for the pod, want 1", n)
	}
	v, _ := s.get("a", now)
	s.settle(v, unnamed)
	if v, ok := s.get("a", now); !ok || v.own != unnamed || len(s.of(nominee(""))) != 0 {
		t.Errorf("open: %t, with %+v; want it open, without a name", ok, v.own)
	}
	s.settle(v, reason.New(reason.Pod, reason.Preempted, "batch/other", "system:kube-scheduler"))
	if _, ok := s.get("a", now); ok || s.left != 0 || len(s.byNode)+len(s.byID) != 0 {
		t.Errorf("still open: %t, %d left, indexes %v %v; want nothing", ok, s.left, s.byNode,
			s.byID)
	}
}
