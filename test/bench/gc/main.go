// Command gc measures how long the pods of nodes that are gone stay, with Epitaph and then, on the
// same control plane, with kube-controller-manager's own pod garbage collector.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	podsOfOne    = 250
	zoneNodes    = 50
	podsOfZone   = 100
	ourLimit     = 2 * time.Minute
	builtInLimit = 5 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-gc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	fmt.Fprintln(out, "starting the control plane, with the built-in pod garbage collector on")
	c, err := bench.Start(ctx, sandbox.Options{
		Out: out, BuiltInPodGC: true,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.Netconsole.Enabled = false
		}},
	})
	if err != nil {
		return err
	}
	defer c.Stop()
	ours, writes, err := oneNode(ctx, c, "ours", "disk sda", ourLimit)
	if err != nil {
		return err
	}
	report(out, "Epitaph, one node", ours)
	zone, err := manyNodes(ctx, c)
	if err != nil {
		return err
	}
	report(out, "Epitaph, 50 nodes", zone)
	if err := retire(ctx, c); err != nil {
		return err
	}
	builtIn, _, err := oneNode(ctx, c, "builtin", "", builtInLimit)
	if err != nil {
		return err
	}
	report(out, "built-in, one node", builtIn)
	bench.Result(out, "gc_first_of_250_s", ours.First.Seconds(), "s")
	bench.Result(out, "gc_last_of_250_s", ours.Last.Seconds(), "s")
	bench.Result(out, "gc_builtin_first_of_250_s", builtIn.First.Seconds(), "s")
	bench.Result(out, "gc_builtin_last_of_250_s", builtIn.Last.Seconds(), "s")
	bench.Result(out, "gc_pods_per_s", float64(zone.Pods)/zone.Last.Seconds(), "pods/s")
	bench.Result(out, "gc_writes_per_pod", writes, "writes")
	return complete(ours, zone)
}

func report(out io.Writer, what string, c bench.Course) {
	fmt.Fprintf(out,
		"%-20s %5d pods, first gone after %6.2f s, last after %6.2f s, %d without a reason\n",
		what, c.Pods, c.First.Seconds(), c.Last.Seconds(), c.WithoutReason)
}

// complete fails a run in which speed was bought with silence.
func complete(courses ...bench.Course) error {
	for _, c := range courses {
		if c.WithoutReason > 0 {
			return fmt.Errorf("%d of %d pods left without a reason", c.WithoutReason, c.Pods)
		}
	}
	return nil
}

// oneNode deletes a node with 250 pods, and counts the writes of a pod.
func oneNode(ctx context.Context, c *bench.Cluster, prefix, why string,
	limit time.Duration) (bench.Course, float64, error) {
	if err := c.AddNodes(ctx, prefix, 1, podsOfOne); err != nil {
		return bench.Course{}, 0, err
	}
	tally, err := c.Tally(ctx, prefix)
	if err != nil {
		return bench.Course{}, 0, err
	}
	before, err := c.PodWrites(ctx)
	if err != nil {
		return bench.Course{}, 0, err
	}
	began := time.Now()
	if err := c.DeleteNodes(ctx, prefix, 1, why); err != nil {
		return bench.Course{}, 0, err
	}
	course, err := tally.Wait(ctx, podsOfOne, began, limit)
	after, countErr := c.PodWrites(ctx)
	return course, (after - before) / podsOfOne, errors.Join(err, countErr)
}

func manyNodes(ctx context.Context, c *bench.Cluster) (bench.Course, error) {
	if err := c.AddNodes(ctx, "zone", zoneNodes, podsOfZone); err != nil {
		return bench.Course{}, err
	}
	tally, err := c.Tally(ctx, "zone")
	if err != nil {
		return bench.Course{}, err
	}
	began := time.Now()
	if err := c.DeleteNodes(ctx, "zone", zoneNodes, "power of the zone"); err != nil {
		return bench.Course{}, err
	}
	return tally.Wait(ctx, zoneNodes*podsOfZone, began, ourLimit)
}

// retire takes Epitaph away, webhook and all: what follows is the control plane as it comes.
func retire(ctx context.Context, c *bench.Cluster) error {
	c.Epitaph.Stop()
	webhooks := c.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	if err := webhooks.DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{}); err != nil {
		return fmt.Errorf("remove the webhook: %w", err)
	}
	return nil
}
