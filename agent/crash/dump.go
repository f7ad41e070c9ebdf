package crash

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A Source is where a dump was found.
type Source string

// The sources.
const (
	Pstore        Source = "pstore"
	SystemdPstore Source = "systemd-pstore"
	Kdump         Source = "kdump"
)

const (
	// MaxLines and maxLineBytes bound what is kept of a log: a panic's own lines and those before
	// it.
	MaxLines     = 48
	maxLineBytes = 240
	// linesBefore the line that tells of the crash are kept, however many come after it.
	linesBefore = 8
	// unsaid stands for the words of a kernel whose line was not kept.
	unsaid = "what it said of it was not kept"
	// idBytes of a hash tell dumps apart.
	idBytes = 8
)

// A Dump is what a kernel left of its end.
type Dump struct {
	// ID tells dumps apart; it stays the same when the dump is moved.
	ID     string
	Source Source
	// Line is what the kernel said that it died of.
	Line string
	// After is how long the kernel had run then; 0 where that is not known.
	After time.Duration
	// At is when it was, by the clock of the machine; zero where that is not known.
	At time.Time
	// Log are the last lines of the kernel, oldest first.
	Log []string
	// Files hold it.
	Files []string
}

// newDump is what lines say. That they are the last of a kernel is known otherwise.
func newDump(source Source, content string, all []line) Dump {
	id := sha256.Sum256([]byte(content))
	d := Dump{Source: source, ID: hex.EncodeToString(id[:idBytes]), Line: unsaid}
	n := lastCause(all, source == Kdump)
	if n >= 0 {
		d.Line, d.After = string(reason.Clean(cause(all, n))), all[n].after
	}
	for _, l := range around(all, n) {
		d.Log = append(d.Log, reason.CleanTo(l.text, maxLineBytes))
	}
	return d
}

// around are the last lines, and in any case the one that tells of the crash.
func around(all []line, cause int) []line {
	from := max(0, len(all)-MaxLines)
	if cause >= 0 {
		from = min(from, max(0, cause-linesBefore))
	}
	return all[from:min(len(all), from+MaxLines)]
}
