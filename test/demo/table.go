package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/epitaph-k8s/epitaph/test/witness"
)

// A row is one line of the last table.
type row struct {
	witness.Death
	took time.Duration // from the cause to gone
}

func printTable(out io.Writer, rows []row) {
	fmt.Fprintln(out, "\nWhat they died of:")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tNAME\tCODE\tBY\tTOOK\tREASON")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f s\t%s\n", r.Subject, r.Name, r.Reason.Code, r.Reason.By, r.took.Seconds(), r.Reason.Text)
	}
	_ = t.Flush() // the writer below is a terminal or a buffer
}
