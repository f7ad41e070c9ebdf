package main

import (
	"fmt"
	"time"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/story"
)

// print writes a story with its headings set off and its verdict in the colour of its answer.
func (p *plugin) print(s story.Story) error {
	fmt.Fprintln(p.out, p.colours.Paint(terminal.Bold, s.Title.Render(p.tells)))
	sections := s.Sections()
	for n, section := range sections {
		fmt.Fprintf(p.out, "\n%s\n", p.colours.Paint(terminal.Bold, section.Heading))
		for _, l := range section.Lines {
			line := l.Render(p.tells)
			if s.Verdict != nil && n == len(sections)-1 {
				line = p.colours.Paint(shadeOf(s.Verdict.Retry), line)
			}
			if _, err := fmt.Fprintln(p.out, "  "+line); err != nil {
				return err
			}
		}
	}
	return nil
}

// tells is a time in UTC and, where the reader's clock shows another, beside it.
func (p *plugin) tells(t time.Time) string {
	utc := t.UTC()
	text := utc.Format(story.TimeFormat)
	if p.zone == nil {
		return text
	}
	local, format := t.In(p.zone), "15:04:05 MST"
	if _, offset := local.Zone(); offset == 0 {
		return text
	}
	if local.Format(time.DateOnly) != utc.Format(time.DateOnly) {
		format = "2006-01-02 " + format
	}
	return text + " (" + local.Format(format) + ")"
}

func shadeOf(retry v1alpha1.Retry) string {
	switch retry {
	case v1alpha1.RetrySafe:
		return terminal.Green
	case v1alpha1.RetryNo:
		return terminal.Red
	default:
		return terminal.Yellow
	}
}
