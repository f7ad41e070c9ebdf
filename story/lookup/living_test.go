package lookup

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

func TestLiving(t *testing.T) {
	t.Parallel()
	keys := reason.DefaultKeys().Pod
	tests := map[string]struct {
		on   reason.Reason
		want [4]string // code, class, reason, by
	}{
		"without a reason": {},
		"with a reason": {
			reason.Reason{Code: reason.UserRequest, Text: "done", By: "alice"},
			[4]string{"UserRequest", "routine", "done", "alice"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "p",
				Annotations: keys.Annotations(tc.on)}}
			s := Living(pod, keys).Spec
			if diff := cmp.Diff(tc.want, [4]string{s.Code, s.Class, s.Reason, s.By}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !s.Removed.IsZero() {
				t.Errorf("it left at %s", s.Removed)
			}
		})
	}
}
