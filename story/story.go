package story

import (
	"slices"
	"strings"
)

// A Story is the account for a person.
type Story struct {
	// Title is one sentence: who left, and when.
	Title Line
	Parts []Part
	// Verdict answers whether the pod may be run again. A node has none.
	Verdict *Verdict
}

// A Part is a heading and its sentences.
type Part struct {
	Heading string
	Lines   []Line
}

// The headings, in the order of the story.
const (
	whatHappened = "What happened"
	howFar       = "How far it had come"
	whoAgain     = "Who runs it again"
	mayIt        = "May it be run again?"
	howTheyEnded = "How they ended"
	whatRuns     = "What is still running"
	before       = "What had happened on it before"
)

// ItsPods is the heading above the pods of a node or an owner.
const ItsPods = "Its pods"

// add appends a part, unless it is empty.
func (s *Story) add(heading string, lines ...Line) {
	lines = slices.DeleteFunc(lines, func(l Line) bool { return len(l) == 0 })
	if len(lines) > 0 {
		s.Parts = append(s.Parts, Part{Heading: heading, Lines: lines})
	}
}

// Sections returns the parts, with the verdict as the last.
func (s Story) Sections() []Part {
	if s.Verdict == nil {
		return s.Parts
	}
	all := append([]Part{}, s.Parts...)
	return append(all, Part{Heading: mayIt, Lines: lines(s.Verdict.String())})
}

// String returns the story as plain text, with times in UTC.
func (s Story) String() string {
	var b strings.Builder
	b.WriteString(s.Title.String() + "\n")
	for _, p := range s.Sections() {
		b.WriteString("\n" + p.Heading + "\n")
		for _, l := range p.Lines {
			b.WriteString("  " + l.String() + "\n")
		}
	}
	return b.String()
}
