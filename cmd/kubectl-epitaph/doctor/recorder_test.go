package doctor

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	auditrecorder "github.com/epitaph-k8s/epitaph/audit/recorder"
)

func TestPositionName(t *testing.T) {
	t.Parallel()
	if positionName != auditrecorder.PositionName {
		t.Errorf("the doctor looks for %s, the product writes %s", positionName,
			auditrecorder.PositionName)
	}
}

func TestRecorded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		written time.Duration
		want    Diagnosis
	}{
		"just now": {time.Second, Diagnosis{Well,
			"recorder", "the record is complete up to revision 42, as was noted 1s ago"}},
		"the clock is off": {-time.Minute, Diagnosis{Well,
			"recorder", "the record is complete up to revision 42, as was noted 0s ago"}},
		"quiet pods": {2 * time.Minute,
			Diagnosis{Well,
				"recorder", "the record is complete up to revision 42, as was noted 2m0s ago"}},
		"late": {3 * time.Minute,
			Diagnosis{Dubious,
				"recorder",
				"the record is complete up to revision 42, as was noted 3m0s ago: longer than it should stay as it is. Who left since may be on record later, or not: look at the leader's log"}},
		"stuck": {6 * time.Minute,
			Diagnosis{Broken,
				"recorder",
				"the record is complete up to revision 42, as was noted 6m0s ago: nothing is recorded any more. Look at the leader's log; it cannot write records, or cannot watch the pods"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := metav1.NewTime(noon.Add(-tc.written))
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
				CreationTimestamp: metav1.NewTime(noon.Add(-24 * time.Hour)),
				ManagedFields:     []metav1.ManagedFieldsEntry{{}, {Time: &at}},
			}, Data: map[string]string{"recordedUpTo": "42"}}
			if got := recorded(m, noon); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
