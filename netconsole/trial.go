package netconsole

import (
	"time"

	"github.com/epitaph-k8s/epitaph/config"
)

const (
	// settling is how long after a panic user space is not probed yet. On other processors it may
	// answer until the kernel has stopped them, which it does right after the announcement
	// (vpanic() of kernel/panic.c).
	settling = 100 * time.Millisecond
	// underWay is how long a renewal of the Lease may take to reach us: one that arrives so soon
	// after a panic may have been made before it.
	underWay = 5 * time.Second
	// betweenRounds is the least time between two rounds of probes of one node, whatever is heard
	// of it.
	betweenRounds = time.Second
	// watchful is how often a case checks on the API server while it waits for a Lease to run out.
	watchful = 2 * time.Second
)

// A trial decides from signs of life whether a node whose panic was heard is dead. It is a state
// machine without I/O.
//
// Only user space proves life: a dead kernel may go on answering pings, resets and even connection
// requests for ever (arm64 with kernel.panic=0). And a genuine panic does not prove death: with
// reboot=force user space goes on for as long as kernel.panic says. So silence decides. How much of
// it is needed depends on who says that the node panicked:
//
//   - A signed panic of a node that used to answer and has not answered since: a few probes.
//   - All others: the Lease must go unrenewed for longer than the kubelet takes to restart, and
//     user space must be silent then.
//   - If a reboot would explain that as well, because the node is shutting down in an orderly way,
//     was silent before, or was lately the subject of an untrue panic: for longer than a reboot
//     takes.
//   - An unsigned panic, after which the node has answered: never.
type trial struct {
	config config.ProofOfDeath
	trust  trust
	// again is set if the death was proven before and is being proven anew: the node may have come
	// back since.
	again bool
	// began is when the panic was heard, or when the proof anew began. If another panic begins the
	// trial anew, it is when that one was heard.
	began time.Time
	// since is the earliest moment from which silence counts.
	since time.Time
	// refuted is set if a panic of this node turned out to be untrue lately.
	refuted bool
	// leaving is set once the node was seen to shut down in an orderly way. What its kubelet said
	// about that is overwritten once the node has been silent for a while
	// (pkg/controller/nodelifecycle).
	leaving bool
	// answered is set if a sign of life came after the panic; sign is when the last one came.
	answered bool
	sign     time.Time
	// probed is when the last round of probes began, and silent when the last round without an
	// answer began.
	probed, silent time.Time
	// lease is the last known renewal, and held the one that the API server itself had after the
	// round at silent.
	lease, held string
}

func newTrial(c config.ProofOfDeath, level trust, now time.Time) trial {
	return trial{config: c, trust: level, began: now, since: now}
}

// newProofAnew is the trial of a node whose death was proven before: its silence counts from its
// last sign of life.
func newProofAnew(c config.ProofOfDeath, level trust, now time.Time) trial {
	return trial{config: c, trust: level, began: now, again: true}
}

// facts are what is known of the node apart from probes.
type facts struct {
	lease leaseView
	// habitual is set if the node is known to answer while it lives: only then does silence alone
	// mean anything.
	habitual bool
	// leaving is set if the node is shutting down in an orderly way.
	leaving bool
}

// A move is a trial's next step: a verdict; or, while that is pending, a round of probes to make
// now, or a time to wait.
type move struct {
	verdict verdict
	probe   bool
	// confirm asks for the Lease as the API server has it, after the round.
	confirm bool
	wait    time.Duration
	// observe is set if the API server must be seen to answer during the wait.
	observe bool
}

func decided(v verdict) move { return move{verdict: v} }

func until(now, then time.Time) move {
	return move{verdict: verdictPending, wait: max(then.Sub(now), time.Millisecond)}
}

// hears takes another panic of the node into account, and reports whether the trial begins anew. It
// does for more trust, and for a panic after the node has contradicted the last one: that one may
// have been forged, and this one genuine.
func (t *trial) hears(level trust, now time.Time) bool {
	contradicted := t.answered && (t.trust != trustSigned || level == trustSigned)
	switch {
	case level == trustNone, level <= t.trust && !contradicted:
		return false
	case contradicted:
		t.refuted = t.refuted || t.trust != trustSigned
		t.since, t.answered, t.leaving = now, false, false
	}
	t.trust, t.began, t.again = level, now, false
	return true
}

// took takes the result of a round of probes, and the renewal of the Lease that was read after it.
func (t *trial) took(start time.Time, answered bool, held string) {
	t.probed = start
	switch {
	case start.Before(t.began):
	case answered:
		t.answered, t.sign = true, start
	default:
		t.silent, t.held = start, held
	}
}

// next returns the next move.
func (t *trial) next(now time.Time, f facts) move {
	t.observe(f.lease)
	t.leaving = t.leaving || f.leaving
	ends := t.began.Add(t.config.Window.Duration)
	if s, over := t.life(now, ends); over {
		return s
	}
	if t.probed.Before(t.began) {
		return t.probe(now, t.began.Add(settling), t.again)
	}
	if t.trust == trustSigned && f.habitual && !t.leaving && !t.answered &&
		!t.silent.Before(t.began) {
		return decided(verdictDead)
	}
	if !f.lease.found {
		return t.withoutLease(now, ends, f.lease.known)
	}
	return t.waits(now, ends, f)
}

// life judges a node that has answered since the panic.
func (t *trial) life(now, ends time.Time) (s move, over bool) {
	switch {
	case !t.answered:
		return move{}, false
	case !t.sign.Before(ends):
		return decided(verdictAlive), true
	case t.trust == trustSigned || t.again:
		return move{}, false
	case now.Before(ends):
		return until(now, ends), true
	default:
		return decided(verdictAlive), true
	}
}

// observe takes a renewal of the Lease as a sign of life, unless it may have been under way when
// the node panicked.
func (t *trial) observe(l leaseView) {
	if !l.found || l.id == t.lease {
		return
	}
	t.lease = l.id
	if l.renewed && l.changed.After(t.began.Add(underWay)) {
		t.answered, t.sign = true, l.changed
	}
}

// withoutLease judges a node without a Lease that could run out. While the Leases are not known, it
// waits.
func (t *trial) withoutLease(now, ends time.Time, known bool) move {
	switch {
	case !known:
		return move{verdict: verdictPending, wait: watchful, observe: true}
	case now.Before(ends):
		return until(now, ends)
	case t.probed.Before(ends):
		return t.probe(now, now, false)
	default:
		return decided(verdictUnproven)
	}
}

// waits waits for the Lease to run out, and then for user space to be silent.
func (t *trial) waits(now, ends time.Time, f facts) move {
	deadline := t.deadline(f.lease)
	switch {
	case t.answered && !now.Before(ends) && t.probed.Before(ends):
		return t.probe(now, now, false) // is it still alive?
	case now.Before(deadline):
		s := until(now, deadline)
		s.wait, s.observe = min(s.wait, watchful), true
		return s
	case t.silent.Before(deadline) || t.held != f.lease.id:
		return t.probe(now, now, true)
	default:
		return decided(verdictDead)
	}
}

// deadline returns when the Lease will have gone unrenewed for long enough.
func (t *trial) deadline(l leaseView) time.Time {
	from := latest(t.since, t.sign, l.changed, l.unbroken)
	enough := max(t.config.MissedRenewal.Duration, l.lasts)
	if t.reboots(l, enough) {
		enough = max(enough, t.config.MaxReboot.Duration)
	}
	return from.Add(enough)
}

// reboots reports whether a reboot explains the node's silence as well as a panic does.
func (t *trial) reboots(l leaseView, enough time.Duration) bool {
	if t.again {
		return t.leaving
	}
	silentBefore := t.trust != trustSigned && l.changed.Add(enough).Before(t.since)
	return t.leaving || silentBefore || t.trust == trustDoubtful ||
		t.trust == trustUnsigned && t.refuted
}

// probe asks for a round of probes, not before the given time.
func (t *trial) probe(now, earliest time.Time, confirm bool) move {
	if at := latest(earliest, t.probed.Add(betweenRounds)); now.Before(at) {
		return until(now, at)
	}
	return move{verdict: verdictPending, probe: true, confirm: confirm}
}

func latest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.After(first) {
			first = t
		}
	}
	return first
}
