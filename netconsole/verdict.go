package netconsole

// A verdict is what becomes of a panic that was heard: the word that metrics and the log use.
type verdict string

const (
	verdictPending  verdict = "pending"  // nothing is decided yet
	verdictDead     verdict = "dead"     // believed
	verdictAlive    verdict = "alive"    // user space answered until the window ended
	verdictRebooted verdict = "rebooted" // the node panicked, and came back under another boot ID
	verdictGone     verdict = "gone"     // the Node left by another hand
	// silent, but it never used to answer and has no Lease whose renewal could be missed
	verdictUnproven verdict = "unproven"
	verdictForged   verdict = "forged" // its token is not the node's
	verdictBraked   verdict = "braked" // dead, but too many died within the window
	verdictKnown    verdict = "known"  // the node's panic is being dealt with already
)

var verdicts = []verdict{
	verdictDead, verdictAlive, verdictRebooted, verdictGone, verdictUnproven, verdictForged,
	verdictBraked, verdictKnown,
}
