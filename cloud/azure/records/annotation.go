package records

import (
	"embed"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// before and after bound what may have ended the machine, around the end of its Node.
	before = 24 * time.Hour
	after  = 15 * time.Minute
	// restarted is how long after a restart it no longer explains why a Node goes.
	restarted = 30 * time.Minute
)

//go:embed annotations.yaml
var files embed.FS

// A kind is what an annotation means.
type kind struct {
	Annotation string `json:"annotation"`
	What       string `json:"what,omitempty"`
	Called     bool   `json:"called,omitempty"`
	Begins     bool   `json:"begins,omitempty"`
	Restarts   bool   `json:"restarts,omitempty"`
}

var kinds = sync.OnceValue(func() map[string]kind {
	return explain.Table(files, "annotations.yaml", func(k kind) string { return k.Annotation })
})

// An Annotation is a row of the table HealthResources
// (learn.microsoft.com/azure/virtual-machines/resource-graph-availability).
type Annotation struct {
	Occurred time.Time `json:"occurred"`
	Name     string    `json:"annotation"`
	Reason   string    `json:"reason"`
	Summary  string    `json:"summary"`
	Context  string    `json:"context"`
	Category string    `json:"category"`
}

// Parse reads the rows of the table, no more than limit of them. One that has another form is none
// that we know.
func Parse(table any, limit int) ([]Annotation, error) {
	data, err := json.Marshal(table)
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(data, &rows); err != nil {
		return nil, err
	}
	var all []Annotation
	for _, row := range rows[:min(len(rows), limit)] {
		var a Annotation
		if json.Unmarshal(row, &a) == nil {
			all = append(all, a)
		}
	}
	return all, nil
}

// What returns the word of evidence for what happened.
func (a Annotation) What() string { return kinds()[a.Name].What }

// Called reports whether somebody asked for it, whom the activity log knows.
func (a Annotation) Called() bool { return kinds()[a.Name].Called }

// Words are Azure's: "VirtualMachinePreempted, Platform Initiated, Unplanned: …".
func (a Annotation) Words() string {
	words := []string{a.Name}
	for _, w := range []string{a.Context, a.Category} {
		if w != "" && w != "Not Applicable" {
			words = append(words, w)
		}
	}
	said := a.Summary
	if said == "" {
		said = a.Reason
	}
	if said == "" {
		return strings.Join(words, ", ")
	}
	return strings.Join(words, ", ") + ": " + said
}

// EndOf returns the annotation that tells how the machine ended whose Node was gone by then: the
// first after it last began to run, so that who removes what was preempted did not end it. It is
// nil if nothing is known. The latest annotations come first.
func EndOf(all []Annotation, gone time.Time) *Annotation {
	var end *Annotation
	for i := range all {
		a := &all[i]
		kind, known := kinds()[a.Name]
		switch {
		case a.Occurred.After(gone.Add(after)) || !known:
		case a.Occurred.Before(gone.Add(-before)) || kind.Begins:
			return end
		case kind.Restarts && a.Occurred.Before(gone.Add(-restarted)):
			return end
		case kind.What == reason.EvidencePanic && end != nil && !end.Called():
			// It crashed for the better reason that follows.
		default:
			end = a
		}
	}
	return end
}
