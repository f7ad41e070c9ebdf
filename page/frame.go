package page

import (
	"regexp"
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

// A phrase is text and, after it, the time with which it ends, if it is to be said in another zone.
type phrase struct {
	Text  string
	Local *moment
}

// Tell returns the parts of a story, with the visitor's time behind each time of it.
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

// storyTime finds the times of a story.
var storyTime = regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\b`)

// Phrases cuts a text after each time that it tells, if the visitor has chosen a zone.
func (f frame) Phrases(text string) (phrases []phrase) {
	if f.zone != nil {
		for {
			found := storyTime.FindStringIndex(text)
			if found == nil {
				break
			}
			p := phrase{Text: text[:found[1]]}
			at, err := time.Parse(story.TimeFormat, text[found[0]:found[1]])
			if err == nil {
				m := f.At(metav1.NewTime(at))
				p.Local = &m
			}
			phrases, text = append(phrases, p), text[found[1]:]
		}
	}
	return append(phrases, phrase{Text: text})
}
