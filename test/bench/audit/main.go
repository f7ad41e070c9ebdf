// Command audit measures the recorder of obituaries: pods are deleted at a steady rate, and for
// each the time passes until its obituary is there. What else it costs: writes, bytes in etcd,
// memory. Then thousands of pods are drained, and the writes of Events counted. The webhook is off,
// so that none of it is the webhook's, and the collector, since the pods' nodes do not exist.
package main

import (
	"context"
	"errors"
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

// settle is how long after the last deletion an obituary may still come; then it is lost.
const settle = time.Minute

func main() {
	rate := flag.Int("rate", 100, "`deletions` a second")
	duration := flag.Duration("duration", 2*time.Minute, "for how `long`")
	drained := flag.Int("drained", 5000, "how many `pods` are drained afterwards; 0 for none")
	events := flag.Bool("events", true, "with Events, as is the default")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // it would complain otherwise
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *rate, *duration, *drained, *events); err != nil {
		fmt.Fprintln(os.Stderr, "bench-audit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, rate int, duration time.Duration, drained int,
	events bool) error {
	pods := rate * int(duration.Seconds())
	c, err := bench.Start(ctx, sandbox.Options{Out: out,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.Netconsole.Enabled, c.Webhook.Enabled, c.GC.Enabled = false, false, false
			c.Retention.Pods.MaxPerNamespace, c.Audit.Events = 100_000, events
		}}})
	if err != nil {
		return err
	}
	defer c.Stop()
	if err := c.StopControllers(); err != nil {
		return err
	}
	if pods > 0 {
		if err := atARate(ctx, c, out, pods, rate); err != nil {
			return err
		}
	}
	if drained > 0 && events {
		return drain(ctx, c, out, drained, rate)
	}
	return nil
}

// atARate measures deletions at a steady rate.
func atARate(ctx context.Context, c *bench.Cluster, out io.Writer, pods, rate int) error {
	began := time.Now()
	if err := create(ctx, c, pods); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d pods of a Job created in %.0f s\n", pods, time.Since(began).Seconds())
	m, err := measure(ctx, c, pods, rate)
	if err != nil {
		return err
	}
	m.report(out)
	if m.lost > 0 {
		return errors.New("pods left without an obituary")
	}
	return nil
}
