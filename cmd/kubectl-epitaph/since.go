package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// A span is a duration that may have days and weeks.
type span time.Duration

const day = 24 * time.Hour

var daysOrWeeks = regexp.MustCompile(`^([0-9]{1,4})([dw])$`)

// Set reads "7d", "2w" or what Go calls a duration.
func (s *span) Set(text string) error {
	if m := daysOrWeeks.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if m[2] == "w" {
			n *= 7
		}
		*s = span(time.Duration(n) * day)
		return err
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no time: write 30m, 24h, 7d or 2w", text)
	case d < 0:
		return fmt.Errorf("%q is negative", text)
	}
	*s = span(d)
	return nil
}

// String is empty for no limit.
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return time.Duration(*s).String()
}

// Type is its name in the help.
func (*span) Type() string { return "duration" }

// before returns when the span that ends now began; the zero time for no limit.
func (s *span) before(now time.Time) time.Time {
	if *s == 0 {
		return time.Time{}
	}
	return now.Add(-time.Duration(*s))
}

// sinceFlag adds --since.
func sinceFlag(c *cobra.Command, to *span, what string) {
	c.Flags().Var(to, "since", "only "+what+" within this time, such as 24h or 7d")
}
