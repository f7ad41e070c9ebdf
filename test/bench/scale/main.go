// Command scale measures Epitaph in a large cluster: 5,000 nodes and 150,000 pods. How much memory
// it takes, how long it takes until its caches are full, and how long the pods of one node stay
// once that node is gone. Then the pods get 20,000 owners, and it measures how much memory these
// take.
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

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	podsEach  = 30
	goneLimit = 2 * time.Minute
	// settle is how long Epitaph may take back to the system what the first list of everything
	// took.
	settle = 20 * time.Second
)

func main() {
	nodes := flag.Int("nodes", 5000, "how many `nodes`, with 30 pods each")
	owners := flag.Int("owners", 20_000, "how many `owners` the pods get afterwards")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *nodes, *owners); err != nil {
		fmt.Fprintln(os.Stderr, "bench-scale:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, nodes, owners int) error {
	c, err := bench.Start(ctx, sandbox.Options{
		Out: out,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.Netconsole.Enabled = false
		}},
	})
	if err != nil {
		return err
	}
	defer c.Stop()
	c.Epitaph.Stop()
	if err := c.StopControllers(); err != nil {
		return err
	}
	began := time.Now()
	crowd, err := c.AddCrowd(ctx, "many", nodes, podsEach)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d nodes and %d pods stored in %.0f s\n", nodes, nodes*podsEach,
		time.Since(began).Seconds())
	before, synced, err := started(ctx, c)
	if err != nil {
		return err
	}
	course, err := oneNode(ctx, c)
	if err != nil {
		return err
	}
	after, err := c.Memory()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "memory: %.0f MB now, %.0f MB at most, %.0f MB after a node's death\n",
		before.Now, before.Peak, after.Now)
	bench.Result(out, "scale_rss_mb", max(before.Now, after.Now), "MB")
	bench.Result(out, "scale_rss_peak_mb", after.Peak, "MB")
	bench.Result(out, "scale_sync_s", synced.Seconds(), "s")
	bench.Result(out, "scale_last_of_30_s", course.Last.Seconds(), "s")
	if course.WithoutReason > 0 {
		return fmt.Errorf("%d of %d pods left without a reason", course.WithoutReason, course.Pods)
	}
	return withOwners(ctx, out, c, crowd, owners)
}

// withOwners measures what a replica takes that has just started, gives the pods owners, and
// measures it again.
func withOwners(ctx context.Context, out io.Writer, c *bench.Cluster, crowd *bench.Crowd,
	owners int) error {
	c.Epitaph.Stop()
	without, _, err := started(ctx, c)
	if err != nil {
		return err
	}
	c.Epitaph.Stop()
	began := time.Now()
	if err := crowd.GiveOwners(ctx, owners); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d owners stored, and given to the pods, in %.0f s\n", owners,
		time.Since(began).Seconds())
	// The next replica first reads what it has missed: that is not what the owners take.
	if _, _, err := started(ctx, c); err != nil {
		return err
	}
	c.Epitaph.Stop()
	with, _, err := started(ctx, c)
	if err != nil {
		return err
	}
	bench.Result(out, "scale_rss_without_owners_mb", without.Now, "MB")
	bench.Result(out, "scale_rss_with_owners_mb", with.Now, "MB")
	bench.Result(out, "scale_rss_of_owners_mb", with.Now-without.Now, "MB")
	return nil
}

// started starts Epitaph, and returns what it takes when it has settled, and after how long it was
// ready.
func started(ctx context.Context, c *bench.Cluster) (bench.Megabytes, time.Duration, error) {
	began := time.Now()
	if err := c.Epitaph.Start(ctx); err != nil {
		return bench.Megabytes{}, 0, err
	}
	ready := time.Since(began)
	if err := pause(ctx, settle); err != nil {
		return bench.Megabytes{}, 0, err
	}
	memory, err := c.Memory()
	return memory, ready, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func oneNode(ctx context.Context, c *bench.Cluster) (bench.Course, error) {
	tally, err := c.Tally(ctx, "many")
	if err != nil {
		return bench.Course{}, err
	}
	began := time.Now()
	if err := c.DeleteNodes(ctx, "many", 1, "disk sda"); err != nil {
		return bench.Course{}, err
	}
	return tally.Wait(ctx, podsEach, began, goneLimit)
}
