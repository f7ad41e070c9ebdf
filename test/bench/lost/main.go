// Command lost measures what is lost of deletions that are answered before their reason is written:
// reasons, and who asked. It kills the only replica amid deletions again and again, and has a crowd
// remove many pods in every way while watchers count what they leave with. It fails if a reason is
// lost.
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

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// extent is how much is deleted.
type extent struct{ kills, pods, cascade int }

func main() {
	var e extent
	flag.IntVar(&e.kills, "kills", 20, "how often the replica is killed")
	flag.IntVar(&e.pods, "pods", 10_000, "how many pods the crowd removes")
	flag.IntVar(&e.cascade, "cascade", 300, "how many pods go with each owner and each node")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, e); err != nil {
		fmt.Fprintln(os.Stderr, "bench-lost:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, e extent) error {
	return errors.Join(
		in(ctx, out, func(*config.Config) {}, func(c *bench.Cluster) error {
			return errors.Join(killed(ctx, out, c, e.kills), crowd(ctx, out, c, e.pods),
				cascades(ctx, out, c, e.cascade, "lost_after"))
		}),
		in(ctx, out, func(c *config.Config) { c.Webhook.WriteFirst = true },
			func(c *bench.Cluster) error {
				return cascades(ctx, out, c, e.cascade, "lost_before")
			}))
}

// in measures in a cluster of its own with one replica, which leads as soon as it is back.
func in(ctx context.Context, out io.Writer, change func(*config.Config),
	measure func(*bench.Cluster) error) error {
	c, err := bench.Start(ctx, sandbox.Options{
		Out: out,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.LeaderElection.Enabled, c.Netconsole.Enabled = false, false
			c.GC.Brake.Enabled = false
			change(c)
		}},
	})
	if err != nil {
		return err
	}
	defer c.Stop()
	return measure(c)
}
