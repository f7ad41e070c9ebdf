// Command page measures the page beside many records: how long a visitor waits for the newest, for
// a search, a filter and a place far back, and how much memory that takes. What it is compared with
// is one reading of all records from the API server, in the same run.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

func main() {
	records := flag.Int("records", 100_000, "how many `records` of pods there are")
	nodes := flag.Int("nodes", 10_000, "how many `records` of nodes there are")
	rounds := flag.Int("rounds", 5, "how `often` each page is asked for")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // it would complain otherwise
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *records, *nodes, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench-page:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, records, nodes, rounds int) error {
	c, err := bench.Start(ctx, sandbox.Options{Out: out,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.Netconsole.Enabled, c.Webhook.Enabled, c.GC.Enabled = false, false, false
			c.Page.Enabled = true
			// Nothing of what is written here is too old, or too much.
			c.Retention.Pods.MaxPerNamespace = 100_000
			c.Retention.Pods.MaxAge.Duration = 10 * 365 * 24 * time.Hour
			c.Retention.Nodes.Max = max(100, nodes)
			c.Retention.Nodes.MaxAge.Duration = 10 * 365 * 24 * time.Hour
		}}})
	if err != nil {
		return err
	}
	defer c.Stop()
	if err := c.StopControllers(); err != nil {
		return err
	}
	began := time.Now()
	if err := fill(ctx, c, records, nodes); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records of pods in %d namespaces and %d of nodes, stored in %.0f s\n", records,
		namespaces, nodes, time.Since(began).Seconds())
	whole, err := readAll(ctx, c, records)
	if err != nil {
		return err
	}
	bench.Result(out, "page_records", float64(records), "records")
	bench.Result(out, "page_node_records", float64(nodes), "records")
	bench.Result(out, "page_whole_list_s", whole.Seconds(), "s")
	v, err := newVisitor(ctx, c)
	if err != nil {
		return err
	}
	bad := 0
	for _, p := range pagesOf(records, nodes) {
		took, failed, err := v.measure(ctx, p, rounds)
		if err != nil {
			return err
		}
		bad += failed
		fmt.Fprintf(out, "%-40s %s (half), %s (at most)\n", p.about,
			took.half.Round(time.Millisecond), took.most.Round(time.Millisecond))
		bench.Result(out, "page_"+p.name+"_ms", float64(took.half.Microseconds())/1000, "ms")
		bench.Result(out, "page_"+p.name+"_faster", whole.Seconds()/took.half.Seconds(), "times")
	}
	m, err := c.Memory()
	if err != nil {
		return err
	}
	bench.Result(out, "page_bad_answers", float64(bad), "answers")
	bench.Result(out, "page_rss_mb", m.Now, "MB")
	bench.Result(out, "page_rss_peak_mb", m.Peak, "MB")
	if bad > 0 {
		return fmt.Errorf("%d answers were not what was asked for; see %s", bad,
			c.Epitaph.LogPath)
	}
	return nil
}
