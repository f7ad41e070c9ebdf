package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// ago returns an age in kubectl's format.
func (p *plugin) ago(t metav1.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(p.clock.Since(t.Time).Truncate(time.Second))
}

// outputFlag adds the flag that names the format.
func outputFlag(c *cobra.Command, to *string, formats ...string) {
	last := len(formats) - 1
	c.Flags().StringVarP(to, "output", "o", "",
		strings.Join(formats[:last], ", ")+" or "+formats[last])
	completeFlag(c, "output", formats...)
}

// isOneOf refuses an unknown value of a flag, and suggests a known one.
func isOneOf(flag, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	words := slices.DeleteFunc(slices.Clone(known), func(k string) bool { return k == "" })
	if near := nearest(value, words); near != "" {
		return fmt.Errorf("%w: %s is %q: did you mean %s?", errUsage, flag, value, near)
	}
	return fmt.Errorf("%w: %s is %q, it must be one of %q", errUsage, flag, value, words)
}

// nearest returns the known word closest to a mistyped one, as cobra finds commands; empty if none
// is close.
func nearest(typed string, known []string) string {
	commands := &cobra.Command{SuggestionsMinimumDistance: suggestionDistance}
	for _, k := range known {
		commands.AddCommand(&cobra.Command{Use: k, Run: func(*cobra.Command, []string) {}})
	}
	if near := commands.SuggestionsFor(typed); typed != "" && len(near) > 0 {
		return near[0]
	}
	return ""
}
