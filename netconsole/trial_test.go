package netconsole

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
)

// A course is what is seen of a node whose panic is heard at 0: each function is given a time after
// that.
type course struct {
	// answers reports whether user space answers.
	answers func(at time.Duration) bool
	// renewed returns when the Lease was last renewed; nil if there is none.
	renewed func(at time.Duration) time.Duration
	// lasts is the Lease's own duration.
	lasts time.Duration
	// unbroken returns since when the API server has answered; nil if it always has.
	unbroken func(at time.Duration) time.Duration
	// unusual is set if the node is not known to answer; leaving if it is shutting down in an
	// orderly way, which is seen for as long as leavingFor says, or else all the time.
	unusual, leaving bool
	leavingFor       time.Duration
}

func never(time.Duration) bool { return false }

func evermore(time.Duration) bool { return true }

// between reports whether a time is in one of the spans.
func between(spans ...time.Duration) func(time.Duration) bool {
	return func(at time.Duration) bool {
		for n := 0; n < len(spans); n += 2 {
			if at >= spans[n] && at < spans[n+1] {
				return true
			}
		}
		return false
	}
}

// renewing renews every ten seconds, counted from the moment, while the node lives.
func renewing(first time.Duration,
	lives func(time.Duration) bool) func(time.Duration) time.Duration {
	return func(at time.Duration) time.Duration {
		last := first
		for r := first; r <= at; r += 10 * time.Second {
			if lives(r) {
				last = r
			}
		}
		return last
	}
}

func once(at time.Duration) func(time.Duration) time.Duration {
	return func(time.Duration) time.Duration { return at }
}

// run runs the trial for a day at most, and returns the verdict and when it came.
func (c course) run(t *trial) (verdict, time.Duration) {
	start := t.began
	for now := start; now.Sub(start) < 24*time.Hour; {
		f := c.facts(start, now.Sub(start))
		m := t.next(now, f)
		switch {
		case m.verdict != verdictPending:
			return m.verdict, now.Sub(start)
		case m.probe:
			answered := c.answers(now.Sub(start)) || c.answers(now.Sub(start)+400*time.Millisecond)
			began := now
			now = now.Add(500 * time.Millisecond)
			held := ""
			if m.confirm {
				held = c.facts(start, now.Sub(start)).lease.id
			}
			t.took(began, answered, held)
		default:
			now = now.Add(m.wait)
		}
	}
	return verdictPending, 24 * time.Hour
}

func (c course) facts(start time.Time, at time.Duration) facts {
	leaving := c.leaving && (c.leavingFor == 0 || at < c.leavingFor)
	f := facts{habitual: !c.unusual, leaving: leaving,
		lease: leaseView{known: true, unbroken: start.Add(-time.Hour)}}
	if c.unbroken != nil {
		f.lease.unbroken = start.Add(c.unbroken(at))
	}
	if c.renewed != nil {
		f.lease.found, f.lease.lasts = true, c.lasts
		f.lease.changed, f.lease.renewed = start.Add(c.renewed(at)), true
		f.lease.id = f.lease.changed.String()
	}
	return f
}

func TestTrial(t *testing.T) {
	t.Parallel()
	const second = time.Second
	silent := once(-3 * second)
	restart := func(lasting time.Duration) course {
		up := between(-1000*second, 0, lasting, 1000*second)
		return course{answers: up, renewed: renewing(-3*second, up)}
	}
	tests := map[string]struct {
		trust   trust
		again   bool
		refuted bool
		course  course
		want    verdict
		// from and to are the earliest and the latest moment of the verdict.
		from, to time.Duration
	}{
		"signed and silent from the start": {trust: trustSigned,
			course: course{answers: never, renewed: silent}, want: verdictDead, to: second},
		"signed, of a node without a Lease": {trust: trustSigned, course: course{answers: never},
			want: verdictDead, to: second},
		"signed, of a node that never used to answer": {
			trust: trustSigned, course: course{answers: never, renewed: silent, unusual: true},
			want: verdictDead, from: 40 * second, to: 43 * second,
		},
		"signed, while the node reboots in good order": {
			trust: trustSigned, course: course{answers: never, renewed: silent, leaving: true},
			want: verdictDead, from: 600 * second, to: 605 * second,
		},
		"signed, and user space outlives it for a while": {
			trust: trustSigned,
			course: course{answers: between(0, 12*second),
				renewed: renewing(-3*second, between(0,
					12*second))}, want: verdictDead, from: 47 * second, to: 56 * second,
		},
		"signed, and the node lives on": {
			trust: trustSigned, course: course{answers: evermore,
				renewed: renewing(-3*second,
					evermore)}, want: verdictAlive, from: 30 * second, to: 32 * second,
		},
		"signed, the node lives on, and its kubelet restarts right after it has answered": {
			trust: trustSigned, course: course{answers: between(0, second, 16*second, 1000*second),
				renewed: renewing(-3*second, between(0, second, 16*second, 1000*second))},
			want: verdictAlive, from: 30 * second, to: 45 * second,
		},
		"unsigned and silent from the start": {trust: trustUnsigned,
			course: course{answers: never, renewed: silent}, want: verdictDead, from: 40 * second,
			to: 43 * second},
		"unsigned, with a Lease that lasts longer": {
			trust: trustUnsigned, course: course{answers: never, renewed: silent,
				lasts: 2 * time.Minute}, want: verdictDead, from: 120 * second, to: 123 * second,
		},
		"unsigned, of a node without a Lease": {trust: trustUnsigned,
			course: course{answers: never}, want: verdictUnproven, from: 30 * second,
			to: 32 * second},
		"unsigned, and the last renewal was under way": {
			trust: trustUnsigned, course: course{answers: never,
				renewed: func(at time.Duration) time.Duration {
					return map[bool]time.Duration{true: 2 * second,
						false: -8 * second}[at >= 2*second]
				}}, want: verdictDead, from: 42 * second, to: 45 * second,
		},
		"unsigned, a kubelet that restarts for 1 s": {trust: trustUnsigned,
			course: restart(second), want: verdictAlive, from: 30 * second, to: 45 * second},
		"unsigned, a kubelet that restarts for 5 s": {trust: trustUnsigned,
			course: restart(5 * second), want: verdictAlive, from: 30 * second, to: 45 * second},
		"unsigned, a kubelet that restarts for 15 s": {trust: trustUnsigned,
			course: restart(15 * second), want: verdictAlive, from: 30 * second, to: 55 * second},
		"unsigned, and the node answers once and falls silent for good": {
			trust: trustUnsigned, course: course{answers: between(0, second), renewed: silent},
			want: verdictAlive, from: 30 * second, to: 31 * second,
		},
		"unsigned, partition: only the Lease shows that it lives": {
			trust: trustUnsigned, course: course{answers: never,
				renewed: renewing(-3*second,
					evermore)}, want: verdictAlive, from: 30 * second, to: 31 * second,
		},
		"unsigned, partition: only user space shows that it lives": {
			trust: trustUnsigned, course: course{answers: evermore, renewed: silent},
			want: verdictAlive, from: 30 * second, to: 31 * second,
		},
		"unsigned, while the node reboots in good order": {
			trust: trustUnsigned, course: course{answers: never, renewed: silent, leaving: true},
			want: verdictDead, from: 600 * second, to: 605 * second,
		},
		"signed, while the node reboots in good order, until its kubelet's word is overwritten": {
			trust: trustSigned, course: course{answers: never, renewed: silent, leaving: true,
				leavingFor: 50 * second}, want: verdictDead, from: 600 * second, to: 605 * second,
		},
		"unsigned, while the node reboots in good order, until its kubelet's word is overwritten": {
			trust: trustUnsigned, course: course{answers: never, renewed: silent, leaving: true,
				leavingFor: 50 * second}, want: verdictDead, from: 600 * second, to: 605 * second,
		},
		"unsigned, of a node that had been silent before": {
			trust: trustUnsigned, course: course{answers: never, renewed: once(-time.Minute)},
			want: verdictDead, from: 540 * second, to: 605 * second,
		},
		"unsigned, of a node of which an untrue panic was heard": {
			trust: trustUnsigned, refuted: true, course: course{answers: never, renewed: silent},
			want: verdictDead, from: 600 * second, to: 605 * second,
		},
		"doubtful": {trust: trustDoubtful, course: course{answers: never, renewed: silent},
			want: verdictDead, from: 600 * second, to: 605 * second},
		"unsigned, while the API server is away for two minutes": {
			trust: trustUnsigned, course: course{answers: never, renewed: silent,
				unbroken: func(at time.Duration) time.Duration {
					return map[bool]time.Duration{true: 120 * second, false: at}[at >= 120*second]
				}}, want: verdictDead, from: 160 * second, to: 165 * second,
		},
		"unsigned, and the API server never comes back": {
			trust: trustUnsigned,
			course: course{answers: never, renewed: silent,
				unbroken: func(at time.Duration) time.Duration {
					return at
				}}, want: verdictPending, from: 24 * time.Hour, to: 24 * time.Hour,
		},
		"proven anew, signed": {trust: trustSigned, again: true,
			course: course{answers: never, renewed: silent}, want: verdictDead, to: second},
		"proven anew, unsigned": {trust: trustUnsigned, again: true,
			course: course{answers: never, renewed: once(-time.Hour)}, want: verdictDead,
			to: second},
		"proven anew by a replica that has just started": {
			trust: trustUnsigned, again: true,
			course: course{answers: never, renewed: once(-time.Hour), unbroken: once(0)},
			want:   verdictDead, from: 40 * second, to: 43 * second,
		},
		"proven anew, and it is back": {
			trust: trustUnsigned, again: true,
			course: course{answers: evermore, renewed: renewing(-3*second, evermore)},
			want:   verdictAlive, from: 30 * second, to: 32 * second,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			tr := newTrial(proof(), tc.trust, heard)
			if tc.again {
				tr = newProofAnew(proof(), tc.trust, heard)
			}
			tr.refuted = tc.refuted
			got, at := tc.course.run(&tr)
			if got != tc.want || at < tc.from || at > tc.to {
				t.Errorf("verdict %q after %s, want %q between %s and %s", got, at, tc.want,
					tc.from, tc.to)
			}
		})
	}
}

// What becomes of a trial when another panic of its node is heard.
func TestTrialHears(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		first, then trust
		answered    bool
		// again is set if the trial begins anew, refuted if the node is mistrusted then, since if
		// only silence from then on counts.
		again, refuted, since bool
	}{
		"a signed panic takes the place of an unsigned one": {
			first: trustUnsigned, then: trustSigned, again: true},
		"an unsigned one the place of one that does not fit": {
			first: trustDoubtful, then: trustUnsigned, again: true},
		"another unsigned one says nothing new": {
			first: trustUnsigned, then: trustUnsigned},
		"nothing takes the place of a signed one": {
			first: trustSigned, then: trustUnsigned},
		"after an answer, an unsigned one may be true": {
			first: trustUnsigned, then: trustUnsigned, answered: true, again: true, refuted: true,
			since: true},
		"after an answer, one that does not fit may be true": {
			first: trustUnsigned, then: trustDoubtful, answered: true, again: true, refuted: true,
			since: true},
		"after an answer, a signed one is": {
			first: trustUnsigned, then: trustSigned, answered: true, again: true, refuted: true,
			since: true},
		"after an answer to a signed one, an unsigned one does not take its place": {
			first: trustSigned, then: trustUnsigned, answered: true},
		"after an answer to a signed one, a signed one may be true": {
			first: trustSigned, then: trustSigned, answered: true, again: true, since: true},
		"a forged one is none": {
			first: trustUnsigned, then: trustNone, answered: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			heard := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			later := heard.Add(10 * time.Second)
			tr := newTrial(proof(), tc.first, heard)
			tr.took(heard.Add(time.Second), tc.answered, "")
			again := tr.hears(tc.then, later)
			since := tr.since.Equal(later)
			if again != tc.again || tr.refuted != tc.refuted || since != tc.since {
				t.Errorf("begins anew: %t, refuted: %t, counts from then on: %t; want %t, %t, %t",
					again, tr.refuted, since, tc.again, tc.refuted, tc.since)
			}
			if again && (tr.trust != tc.then || tr.answered) || !again && tr.trust != tc.first {
				t.Errorf("trust %d, answered %t", tr.trust, tr.answered)
			}
		})
	}
}

func proof() config.ProofOfDeath {
	return config.ProofOfDeath{
		KubeletPort: 10250, Attempts: 3,
		Timeout:       metav1.Duration{Duration: 300 * time.Millisecond},
		Patience:      metav1.Duration{Duration: 6 * time.Second},
		Interval:      metav1.Duration{Duration: 200 * time.Millisecond},
		Window:        metav1.Duration{Duration: 30 * time.Second},
		MissedRenewal: metav1.Duration{Duration: 40 * time.Second},
		MaxReboot:     metav1.Duration{Duration: 10 * time.Minute},
		QuietRound:    metav1.Duration{Duration: time.Minute},
	}
}
