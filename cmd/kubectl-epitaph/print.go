package main

import (
	"fmt"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/story"
)

// print writes a story with its headings set off and its verdict in the colour of its answer.
func (p *plugin) print(s story.Story) error {
	fmt.Fprintln(p.out, p.colours.Paint(terminal.Bold, s.Title))
	sections := s.Sections()
	for n, section := range sections {
		fmt.Fprintf(p.out, "\n%s\n", p.colours.Paint(terminal.Bold, section.Heading))
		for _, line := range section.Lines {
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
