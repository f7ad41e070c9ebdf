package story

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TimeFormat is how a story tells a time in UTC.
const TimeFormat = "2006-01-02 15:04:05 UTC"

// A Line is a sentence of a story, or a few. Its times are kept apart from its text, so that each
// reader gets them in their own way, and a time that somebody wrote into a reason is not taken for
// one of the record's.
type Line []Phrase

// A Phrase is a text or, if it is set, a time.
type Phrase struct {
	Text string
	Time time.Time
}

// String returns the line with its times in UTC.
func (l Line) String() string {
	return l.Render(func(t time.Time) string { return t.UTC().Format(TimeFormat) })
}

// Render returns the line with each of its times as the reader wants it.
func (l Line) Render(at func(time.Time) string) string {
	var b strings.Builder
	for _, p := range l {
		if p.Time.IsZero() {
			b.WriteString(p.Text)
		} else {
			b.WriteString(at(p.Time))
		}
	}
	return b.String()
}

// say begins a line; without text, there is none.
func say(text string) Line { return Line(nil).say(text) }

// at begins a line with a time.
func at(t metav1.Time) Line { return Line(nil).at(t) }

func (l Line) say(text string) Line {
	if text == "" {
		return l
	}
	return l.then(Phrase{Text: text})
}

func (l Line) at(t metav1.Time) Line {
	if t.IsZero() {
		return l.say("an unknown time")
	}
	return l.then(Phrase{Time: t.UTC()})
}

// then does not write into what another line may share.
func (l Line) then(more ...Phrase) Line { return append(slices.Clip(l), more...) }

// lines has each text be a line.
func lines(texts ...string) []Line {
	all := make([]Line, 0, len(texts))
	for _, text := range texts {
		all = append(all, say(text))
	}
	return all
}
