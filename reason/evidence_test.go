package reason

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFresh(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		boot      string
		ready     corev1.ConditionStatus
		changed   time.Duration
		heartbeat time.Duration
		want      bool
		survived  bool
	}{
		"nothing is known of the node": {want: true},
		"the same boot":                {boot: "b1", want: true},
		"another boot":                 {boot: "b2", survived: true},
		"still reported ready": {ready: corev1.ConditionTrue,
			heartbeat: time.Minute, want: true},
		"ready, with heartbeats well after it": {ready: corev1.ConditionTrue,
			heartbeat: 3 * time.Minute},
		"ready again well after it": {ready: corev1.ConditionTrue,
			changed: 3 * time.Minute},
		"ready, and reporting so for hours": {ready: corev1.ConditionTrue,
			heartbeat: 5 * time.Hour, survived: true},
		"silent": {ready: corev1.ConditionUnknown,
			changed: time.Minute, want: true},
		"silent, and a graceful shutdown took long": {ready: corev1.ConditionUnknown,
			changed: 21 * time.Minute, heartbeat: 20 * time.Minute, want: true},
		"silent, after hours of heartbeats": {ready: corev1.ConditionUnknown,
			changed: 5 * time.Hour, heartbeat: 5 * time.Hour, survived: true},
		"unwell, and reporting so for hours": {ready: corev1.ConditionFalse,
			heartbeat: 5 * time.Hour, survived: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := &corev1.Node{}
			node.Status.NodeInfo.BootID = tt.boot
			if tt.ready != "" {
				node.Status.Conditions = []corev1.NodeCondition{{
					Type: corev1.NodeReady, Status: tt.ready,
					LastTransitionTime: metav1.NewTime(at.Add(tt.changed)),
					LastHeartbeatTime:  metav1.NewTime(at.Add(tt.heartbeat)),
				}}
			}
			e := Evidence{What: EvidenceHalt, When: at, BootID: "b1"}
			if fresh, survived := e.Fresh(node),
				e.Survived(node); fresh != tt.want || survived != tt.survived {
				t.Errorf("fresh: %t, want %t; survived: %t, want %t", fresh, tt.want, survived,
					tt.survived)
			}
		})
	}
}

func TestEvidenceOn(t *testing.T) {
	t.Parallel()
	with := func(value string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1",
			Annotations: map[string]string{EvidenceKey: value}}}
	}
	all, err := EvidenceOn(
		with(`[{"what":"halt","who":"bob","when":"2026-05-01T12:00:00Z","bootID":"b1"}]`))
	if want := (Evidence{What: "halt", Who: "bob",
		When:   time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		BootID: "b1"}); err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("read %+v, %v, want %+v", all, err, want)
	}
	if all, err := EvidenceOn(&corev1.Node{}); all != nil || err != nil {
		t.Errorf("a node without evidence: %v, %v", all, err)
	}
	const broken = "read annotation epitaph-k8s.io/evidence of node n1: unexpected end of JSON input"
	if _, err := EvidenceOn(with("[")); err == nil || err.Error() != broken {
		t.Errorf("broken evidence = %v, want %s", err, broken)
	}
	if _, err := EvidenceOn(with("[]" + strings.Repeat(" ", 16382))); err != nil {
		t.Errorf("as much evidence as is read = %v", err)
	}
	const large = "annotation epitaph-k8s.io/evidence of node n1 has 16385 bytes, at most 16384 are read"
	if _, err := EvidenceOn(with(strings.Repeat(" ", 16385))); err == nil || err.Error() != large {
		t.Errorf("too much evidence = %v, want %s", err, large)
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	remover := Remover{User: "alice"}
	if got, want := (Facts{Pod: &corev1.Pod{}, Remover: remover}).Unknown(),
		(Reason{Code: Unexplained, Text: "Nobody said why this pod was deleted, and nothing could be inferred (deleted by alice)", By: "alice"}); got != want {
		t.Errorf("a pod: %+v, want %+v", got, want)
	}
	if got, want := (Facts{Node: &corev1.Node{}, Remover: remover}).Unknown(),
		(Reason{Code: Unexplained, Text: "Nobody said why this node was deleted, and nothing could be inferred (deleted by alice)", By: "alice"}); got != want {
		t.Errorf("a node: %+v, want %+v", got, want)
	}
}
