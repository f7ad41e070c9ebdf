package netconsole

// A verdict is what becomes of a panic that was heard. Metrics and the log use this word.
type verdict string

const (
	verdictPending  verdict = "pending"  // not decided yet
	verdictDead     verdict = "dead"     // believed
	verdictAlive    verdict = "alive"    // user space answered until the window ended
	verdictRebooted verdict = "rebooted" // the node panicked, and came back under another boot ID
	verdictGone     verdict = "gone"     // somebody else deleted the Node
	// silent, but it never used to answer and has no Lease that could go unrenewed
	verdictUnproven verdict = "unproven"
	verdictForged   verdict = "forged" // its token is not the node's
	verdictBraked   verdict = "braked" // dead, but too many died within the window
	verdictKnown    verdict = "known"  // the node's panic is already being handled
)

var verdicts = []verdict{
	verdictDead, verdictAlive, verdictRebooted, verdictGone, verdictUnproven, verdictForged,
	verdictBraked, verdictKnown,
}
