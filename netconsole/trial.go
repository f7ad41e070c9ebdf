package netconsole

import (
	"time"

	"github.com/epitaph-k8s/epitaph/config"
)

// A trial decides from signs of life whether a node whose panic was heard is dead. It is a state machine without I/O.
//
// Only user space proves life: a dead kernel may go on answering pings, resets and even connection requests for ever
// (arm64 with kernel.panic=0). And a genuine panic does not prove death: with reboot=force user space goes on for as long as
// kernel.panic says. So silence decides, and silence counts only from a node that used to speak; from another it takes the
// renewals of its Lease that fail to come.
type trial struct {
	config config.ProofOfDeath
	heard  time.Time
	// spoke is set once the node is known to answer while it lives.
	spoke bool
	// doubtful is set where the panic may not be the node's own: then renewals have to fail to come, too.
	doubtful bool

	silent     int
	lease      string
	leaseSince time.Time
}

// signs are what one round of looking for life has found.
type signs struct {
	at time.Time
	// answered is set where user space answered.
	answered bool
	// lease identifies the last renewal of the node's Lease; empty where that is not known.
	lease string
}

// weigh takes a round's signs and returns the verdict so far.
func (t *trial) weigh(s signs) verdict {
	t.spoke = t.spoke || s.answered
	if s.answered || t.renewed(s) {
		t.silent = 0
		return t.pendingUntilWindowEnds(s.at, verdictAlive)
	}
	t.silent++
	switch {
	case t.silent < t.config.Attempts:
		return verdictPending
	case t.spoke && !t.doubtful:
		return verdictDead
	case t.lease == "":
		return t.pendingUntilWindowEnds(s.at, verdictUnproven)
	case s.at.Sub(t.leaseSince) >= t.config.MissedRenewal.Duration:
		return verdictDead
	default:
		return verdictPending
	}
}

// renewed tells whether the Lease was renewed since the round before. The clocks of nodes are not trusted: what counts is
// that the renewal changed, and since when, by our clock, it has not.
func (t *trial) renewed(s signs) bool {
	if s.lease == "" || s.lease == t.lease {
		return false
	}
	first := t.lease == ""
	t.lease, t.leaseSince = s.lease, s.at
	return !first
}

func (t *trial) pendingUntilWindowEnds(now time.Time, otherwise verdict) verdict {
	if now.Sub(t.heard) < t.config.Window.Duration {
		return verdictPending
	}
	return otherwise
}
