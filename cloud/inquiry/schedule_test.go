package inquiry

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

var left = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// aRecord is of a Node whose instance was found to be gone.
func aRecord() *v1alpha1.NodeObituary {
	o := &v1alpha1.NodeObituary{}
	o.Name, o.UID, o.ResourceVersion = "n.1", "u1", "7"
	r := reason.New(reason.Node, reason.CloudInstanceGone, "n", "ccm")
	o.Spec = v1alpha1.NodeObituarySpec{NodeName: "n", ProviderID: "aws:///eu-west-1a/i-1",
		Removed: metav1.NewTime(left), Code: string(r.Code), Reason: string(r.Text)}
	return o
}

func TestNext(t *testing.T) {
	t.Parallel()
	never := time.Duration(-1)
	tests := map[string]struct {
		change func(*v1alpha1.NodeObituary)
		asked  time.Duration // after the end; never where it is negative
		now    time.Duration
		none   bool
		in     time.Duration
		last   bool
	}{
		"just gone":                     {asked: never, in: 10 * time.Second},
		"its first turn":                {asked: never, now: 10 * time.Second},
		"late for the first":            {asked: never, now: 40 * time.Second, in: -30 * time.Second},
		"after the first":               {asked: 11 * time.Second, now: 12 * time.Second, in: 48 * time.Second},
		"one turn of those that passed": {asked: never, now: 6 * time.Minute, in: -time.Minute},
		"before the last":               {asked: 5 * time.Minute, now: 6 * time.Minute, in: 14 * time.Minute, last: true},
		"this program was away":         {asked: never, now: 5 * time.Hour, in: -5*time.Hour + 20*time.Minute, last: true},
		"after the last":                {asked: 20 * time.Minute, now: 21 * time.Minute, none: true},
		"a day ago":                     {asked: never, now: 25 * time.Hour, none: true},
		"not of a cloud":                {change: func(o *v1alpha1.NodeObituary) { o.Spec.ProviderID = "" }, asked: never, none: true},
		"the node came back":            {change: func(o *v1alpha1.NodeObituary) { o.Spec.Returned = true }, asked: never, none: true},
		"a person's words": {change: func(o *v1alpha1.NodeObituary) {
			o.Spec.Code, o.Spec.Reason = "UserRequest", "moved"
		}, asked: never, none: true},
		"a panic that was heard": {change: func(o *v1alpha1.NodeObituary) { o.Spec.Code = "KernelPanic" },
			asked: never, none: true},
		"amended by the answer so far": {change: func(o *v1alpha1.NodeObituary) { o.Spec.Code = "HardwareFailure" },
			asked: 11 * time.Second, now: time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := aRecord()
			if tt.asked != never {
				o.Status.Cloud = &v1alpha1.CloudAnswer{Asked: metav1.NewTime(left.Add(tt.asked))}
			}
			if tt.change != nil {
				tt.change(o)
			}
			got, ok := next(o, left.Add(tt.now))
			if want := (turn{in: tt.in, last: tt.last}); ok == tt.none || ok && got != want {
				t.Errorf("%v %t, want %v", got, ok, want)
			}
		})
	}
}
