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
	// linesBefore is how many lines before the one that tells of the crash are kept, however many
	// come after it.
	linesBefore = 8
	// unsaid stands for the kernel's words if their line was not kept.
	unsaid = "what it said of it was not kept"
	// idBytes is how many bytes of a hash identify a dump.
	idBytes = 8
)

// A Dump is what a kernel left of its end.
type Dump struct {
	// ID identifies the dump; it stays the same when the dump is moved.
	ID     string
	Source Source
	// Line is the kernel's own cause of death.
	Line string
	// After is how long the kernel had run by then; 0 if that is not known.
	After time.Duration
	// At is when it was, by the clock of the machine; zero if that is not known.
	At time.Time
	// Log holds the kernel's last lines, oldest first.
	Log []string
	// Files hold the dump.
	Files []string
}

// newDump builds a dump from lines that are known to be the last of a kernel.
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

// around returns the last lines, always including the one that tells of the crash.
func around(all []line, cause int) []line {
	from := max(0, len(all)-MaxLines)
	if cause >= 0 {
		from = min(from, max(0, cause-linesBefore))
	}
	return all[from:min(len(all), from+MaxLines)]
}
