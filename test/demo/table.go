package demo

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

// A row is one line of the last table: who was seen to leave, and what is on record of it.
type row struct {
	witness.Death
	took   time.Duration // from the cause to gone
	record reason.Reason
}

// readRecords waits until everything that was seen to leave is on record, and checks that the
// record says what was seen.
func (st *stage) readRecords(ctx context.Context) error {
	finder, err := st.finder()
	if err != nil {
		return err
	}
	for n := range st.rows {
		r := &st.rows[n]
		if err := st.until(ctx, fmt.Sprintf("%s %s is on record", r.Subject, r.Name),
			r.isOnRecord(finder)); err != nil {
			return err
		}
		if r.record != r.Reason {
			return fmt.Errorf("%s %s is on record with %+v, and left with %+v", r.Subject, r.Name,
				r.record, r.Reason)
		}
	}
	return nil
}

func (st *stage) finder() (finder lookup.Finder, err error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return finder, fmt.Errorf("register the records: %w", err)
	}
	reader, err := client.New(st.sandbox.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		return finder, fmt.Errorf("make a client for the records: %w", err)
	}
	return lookup.Finder{Reader: reader}, nil
}

func (r *row) isOnRecord(finder lookup.Finder) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		if r.Subject == reason.Node {
			found, err := finder.Nodes(ctx, lookup.Filter{Node: r.Name})
			if len(found) > 0 {
				s := found[len(found)-1].Spec
				r.record = reason.Reason{Code: reason.Code(s.Code), Text: reason.Text(s.Reason),
					By: s.By}
			}
			return len(found) > 0, err
		}
		found, _, err := finder.Pods(ctx, lookup.Filter{Namespace: namespace, Pod: podName(r.Name)})
		if len(found) > 0 {
			s := found[len(found)-1].Spec
			r.record = reason.Reason{Code: reason.Code(s.Code), Text: reason.Text(s.Reason),
				By: s.By}
		}
		return len(found) > 0, err
	}
}

// podName is the name without the namespace.
func podName(name string) string { return name[len(namespace)+1:] }

func printTable(out io.Writer, rows []row) {
	fmt.Fprintln(out, "\nWhat is on record of them (PodObituary, NodeObituary):")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KIND\tNAME\tCODE\tBY\tTOOK\tREASON")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f s\t%s\n", r.Subject, r.Name, r.record.Code,
			r.record.By, r.took.Seconds(), r.record.Text)
	}
	_ = t.Flush() // the writer below is a terminal or a buffer
}
