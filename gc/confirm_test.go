package gc

import (
	"context"
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// answers is an API server that gives the same answer about every Node.
type answers struct {
	client.Reader
	err   error
	asked int
}

func (a *answers) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	a.asked++
	return a.err
}

func TestOnlyNotFoundConfirmsThatANodeIsGone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer  error
		want    bool
		wantErr bool
	}{
		"not found": {
			answer: apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, "n1"),
			want:   true},
		"the node is there, of another UID": {answer: nil, want: false},
		"not allowed to look": {
			answer:  apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "n1", nil),
			wantErr: true},
		"no answer": {answer: errors.New("connection refused"),
			wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfirmations(&answers{err: tc.answer}, clocktesting.NewFakePassiveClock(noon))
			got, err := c.absent(t.Context(), "n1")
			if got != tc.want || (err != nil) != tc.wantErr {
				t.Errorf("absent %t, error %v, want %t, error %t", got, err, tc.want, tc.wantErr)
			}
		})
	}
}

func TestAConfirmationServesAWholeNodeAndGrowsOld(t *testing.T) {
	t.Parallel()
	clk := clocktesting.NewFakePassiveClock(noon)
	live := &answers{err: apierrors.NewNotFound(schema.GroupResource{Resource: "nodes"}, "n1")}
	c := newConfirmations(live, clk)
	ask := func() {
		if gone, err := c.absent(t.Context(), "n1"); !gone || err != nil {
			t.Fatalf("absent %t, %v", gone, err)
		}
	}
	for range 250 {
		ask()
	}
	if live.asked != 1 {
		t.Errorf("asked %d times for the pods of one node, want once", live.asked)
	}
	clk.SetTime(noon.Add(confirmedFor + time.Millisecond))
	ask()
	if live.asked != 2 {
		t.Errorf("an old answer still counts: asked %d times, want 2", live.asked)
	}
}
