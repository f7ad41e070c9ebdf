package page

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/story"
)

// A frame is what each page shows around its content.
type frame struct {
	// Visitor is nobody until they have logged in.
	Visitor string
	// Title names the object that the page is about.
	Title string
	// Nodes is set if the visitor may list the records of nodes.
	Nodes bool
	// Archive is set if there is one.
	Archive bool
	// Here is the address of the page, if one may come back to it.
	Here string
	// zone is where the visitor wants times of, or nil for UTC alone.
	zone *time.Location
}

// Zone is the name of the zone whose times are shown beside UTC, or empty.
func (f frame) Zone() string {
	if f.zone == nil {
		return ""
	}
	return f.zone.String()
}

// A moment is a time as it is shown.
type moment struct {
	// ISO is for programs, UTC for people.
	ISO, UTC string
	// Local is the time in the visitor's zone, and LocalISO that for programs. Both are empty
	// without a zone.
	Local, LocalISO string
}

// At returns a time as it is shown.
func (f frame) At(t metav1.Time) moment {
	m := moment{ISO: t.UTC().Format(time.RFC3339), UTC: t.UTC().Format("2006-01-02 15:04:05")}
	if f.zone == nil {
		return m
	}
	local, format := t.In(f.zone), "15:04:05 MST"
	if local.Format(time.DateOnly) != t.UTC().Format(time.DateOnly) {
		format = "2006-01-02 " + format
	}
	m.Local, m.LocalISO = local.Format(format), local.Format(time.RFC3339)
	return m
}

// A telling is a part of a story as it is shown.
type telling struct {
	Heading string
	Lines   [][]phrase
}

// A phrase is a text or, if it is set, a time.
type phrase struct {
	Text string
	Time *moment
}

// Tell returns the parts of a story.
func (f frame) Tell(s *story.Story) []telling {
	told := make([]telling, len(s.Parts))
	for n, part := range s.Parts {
		told[n].Heading = part.Heading
		for _, line := range part.Lines {
			told[n].Lines = append(told[n].Lines, f.Phrases(line))
		}
	}
	return told
}

// Phrases returns the texts and times of a line.
func (f frame) Phrases(line story.Line) []phrase {
	phrases := make([]phrase, len(line))
	for n, p := range line {
		phrases[n].Text = p.Text
		if !p.Time.IsZero() {
			m := f.At(metav1.NewTime(p.Time))
			phrases[n].Time = &m
		}
	}
	return phrases
}
