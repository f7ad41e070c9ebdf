package lastboot

import (
	"time"

	"github.com/epitaph-k8s/epitaph/agent/crash"
)

// An End is how a boot ended.
type End struct {
	BootID string `json:"bootID"`
	How    How    `json:"how"`
	// Line is the cause of its kernel's panic, At when it was, Source where that was found, and Log
	// the kernel's last lines.
	Line   string       `json:"line,omitempty"`
	At     time.Time    `json:"at,omitzero"`
	Source crash.Source `json:"source,omitempty"`
	Log    []string     `json:"log,omitempty"`
	// Found is when this was found, and Back when the machine was up again.
	Found time.Time `json:"found,omitzero"`
	Back  time.Time `json:"back"`
	// Told is set once the end has been reported where it has to be.
	Told bool `json:"told,omitempty"`
	// Files hold the dump.
	Files []string `json:"files,omitempty"`
}

// by returns the end that the dump describes.
func (e End) by(b boot, d crash.Dump, now Moment) End {
	e.How, e.Line, e.At, e.Source, e.Log, e.Files = Panic, d.Line, b.when(d), d.Source, d.Log,
		d.Files
	e.Found, e.Told = now.Now, false
	return e
}
