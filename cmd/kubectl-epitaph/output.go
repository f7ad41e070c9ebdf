package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// ago is the age of something in kubectl's manner.
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

// isFormat refuses formats that do not exist.
func isFormat(format string, known ...string) error {
	for _, k := range known {
		if format == k {
			return nil
		}
	}
	return fmt.Errorf("%w: -o is %q, it must be one of %q", errUsage, format, known)
}
