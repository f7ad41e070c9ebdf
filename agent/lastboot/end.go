package lastboot

import (
	"time"

	"github.com/epitaph-k8s/epitaph/agent/crash"
	"github.com/epitaph-k8s/epitaph/agent/resetreason"
)

// An End is how a boot ended.
type End struct {
	BootID string `json:"bootID"`
	How    How    `json:"how"`
	// Line is the cause of its kernel's panic, At when it was, Source where that was found, and Log
	// the kernel's last lines.
	Line   string    `json:"line,omitempty"`
	At     time.Time `json:"at,omitzero"`
	Source string    `json:"source,omitempty"`
	Log    []string  `json:"log,omitempty"`
	// Cause is what else the machine says of it, if it was neither orderly nor a panic; Detail says
	// more, and Source is who says so.
	Cause  resetreason.Cause `json:"cause,omitempty"`
	Detail string            `json:"detail,omitempty"`
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
	e.How, e.Line, e.At, e.Source = Panic, d.Line, b.when(d), string(d.Source)
	e.Log, e.Files = d.Log, d.Files
	e.Cause, e.Detail = "", ""
	e.Found, e.Told = now.Now, false
	return e
}

// because returns the end with what the machine says of it.
func (e End) because(r resetreason.Reason, now Moment) End {
	e.Cause, e.Detail, e.Source, e.Found = r.Cause, r.Detail, string(r.Source), now.Now
	return e
}
