package netconsole

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
)

// A round in a table: what was seen how long after the panic.
type seen struct {
	after    time.Duration
	answered bool
	lease    string
}

func TestTrial(t *testing.T) {
	t.Parallel()
	const second = time.Second
	tests := map[string]struct {
		spoke  bool
		rounds []seen
		want   []verdict
	}{
		"a node that used to answer is dead after three silent rounds": {
			spoke:  true,
			rounds: []seen{{after: 0}, {after: 1 * second}, {after: 2 * second}},
			want:   []verdict{verdictPending, verdictPending, verdictDead},
		},
		"an answer begins the count anew": {
			spoke:  true,
			rounds: []seen{{after: 0}, {after: 1 * second}, {after: 2 * second, answered: true}, {after: 3 * second}, {after: 4 * second}, {after: 5 * second}},
			want:   []verdict{verdictPending, verdictPending, verdictPending, verdictPending, verdictPending, verdictDead},
		},
		"user space that answers until the window ends is alive": {
			rounds: []seen{{after: 0, answered: true}, {after: 29 * second, answered: true}, {after: 30 * second, answered: true}},
			want:   []verdict{verdictPending, verdictPending, verdictAlive},
		},
		"user space that outlives the panic and then falls silent was speaking": {
			rounds: []seen{{after: 0, answered: true}, {after: 28 * second, answered: true}, {after: 29 * second}, {after: 30 * second}, {after: 31 * second}},
			want:   []verdict{verdictPending, verdictPending, verdictPending, verdictPending, verdictDead},
		},
		"silence of a node that never answered is nothing while its lease may still be renewed": {
			rounds: []seen{{after: 0, lease: "a"}, {after: 1 * second, lease: "a"}, {after: 24 * second, lease: "a"}, {after: 25 * second, lease: "a"}},
			want:   []verdict{verdictPending, verdictPending, verdictPending, verdictDead},
		},
		"a renewal is a sign of life": {
			rounds: []seen{{after: 0, lease: "a"}, {after: 10 * second, lease: "b"}, {after: 25 * second, lease: "b"}, {after: 30 * second, lease: "b"}, {after: 34 * second, lease: "b"}, {after: 35 * second, lease: "b"}},
			want:   []verdict{verdictPending, verdictPending, verdictPending, verdictPending, verdictPending, verdictDead},
		},
		"renewals until the window ends are life": {
			rounds: []seen{{after: 0, lease: "a"}, {after: 10 * second, lease: "b"}, {after: 20 * second, lease: "c"}, {after: 30 * second, lease: "d"}},
			want:   []verdict{verdictPending, verdictPending, verdictPending, verdictAlive},
		},
		"a renewal counts for a node that used to answer as well": {
			spoke:  true,
			rounds: []seen{{after: 0, lease: "a"}, {after: 1 * second, lease: "a"}, {after: 2 * second, lease: "b"}},
			want:   []verdict{verdictPending, verdictPending, verdictPending},
		},
		"without answers and without a lease nothing can be proven": {
			rounds: []seen{{after: 0}, {after: 1 * second}, {after: 29 * second}, {after: 30 * second}},
			want:   []verdict{verdictPending, verdictPending, verdictPending, verdictUnproven},
		},
		"a lease that cannot be read any more is not a renewal": {
			rounds: []seen{{after: 0, lease: "a"}, {after: 1 * second}, {after: 2 * second}, {after: 25 * second, lease: "a"}},
			want:   []verdict{verdictPending, verdictPending, verdictPending, verdictDead},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			tr := &trial{config: proof(), heard: heard, spoke: tc.spoke}
			for n, r := range tc.rounds {
				got := tr.weigh(signs{at: heard.Add(r.after), answered: r.answered, lease: r.lease})
				if got != tc.want[n] {
					t.Fatalf("round %d: verdict %q, want %q", n, got, tc.want[n])
				}
			}
		})
	}
}

func proof() config.ProofOfDeath {
	return config.ProofOfDeath{
		KubeletPort: 10250, Attempts: 3,
		Timeout: metav1.Duration{Duration: 300 * time.Millisecond}, Interval: metav1.Duration{Duration: 200 * time.Millisecond},
		Window: metav1.Duration{Duration: 30 * time.Second}, MissedRenewal: metav1.Duration{Duration: 25 * time.Second},
		QuietRound: metav1.Duration{Duration: time.Minute},
	}
}
