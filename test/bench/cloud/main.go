// Command cloud measures how long a Node that the cloud's controller deletes, and its pods, take to
// leave: with nobody who asks the cloud, with epitaph-cloud, and with an epitaph-cloud whose cloud
// never answers. The cases take turns, so that the machine's moods hit all.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	rounds = 5
	// pods is how many the Node has whose end is measured.
	pods = 100
	// asking is how many Nodes the cloud is asked about meanwhile: as many as epitaph-cloud asks
	// about at once.
	asking = 4
)

// A kind is a case.
type kind string

const (
	none    kind = "nobody asks"
	answers kind = "the cloud answers"
	hangs   kind = "the cloud hangs"
)

var kinds = []kind{none, answers, hangs}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-cloud:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "bench-cloud-")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "epitaph-cloud")
	if err := binaries.Cloud(ctx, out, program); err != nil {
		return err
	}
	c, err := bench.Start(ctx, sandbox.Options{Out: out,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.Netconsole.Enabled = false
			// Most of the nodes that are there leave, one after another: what the brake holds back
			// is not what is measured here.
			c.GC.Brake.Enabled = false
		}}})
	if err != nil {
		return err
	}
	defer c.Stop()
	c.ProviderID = instanceOf
	b := &ends{cluster: c, program: program, all: map[kind][]end{}}
	if b.ccm, err = kubernetes.NewForConfig(c.As(ccm)); err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if b.kubeconfig, err = c.ServiceAccount(ctx, namespace, "epitaph-cloud",
		"epitaph-cloud"); err != nil {
		return err
	}
	for round := range rounds {
		for n := range kinds {
			if err := b.turn(ctx, kinds[(n+round)%len(kinds)]); err != nil {
				return err
			}
		}
	}
	b.report(out)
	return nil
}

func (b *ends) report(out io.Writer) {
	for _, k := range kinds {
		fmt.Fprintf(out, "%-18s pods gone after p50 %6.0f ms, p99 %6.0f ms; DELETE of the Node p50 "+
			"%6.1f ms (%d rounds of %d pods)\n", k, millis(b.pooled(k), 0.50),
			millis(b.pooled(k), 0.99), millis(b.nodes(k), 0.50), rounds, pods)
	}
	bench.Result(out, "cloud_none_p50_ms", millis(b.pooled(none), 0.50), "ms")
	bench.Result(out, "cloud_delete_ratio", b.ratio(hangs, 0.50), "ratio")
	bench.Result(out, "cloud_delete_p99_ratio", b.ratio(hangs, 0.99), "ratio")
	bench.Result(out, "cloud_answers_delete_ratio", b.ratio(answers, 0.50), "ratio")
	bench.Result(out, "cloud_answers_delete_p99_ratio", b.ratio(answers, 0.99), "ratio")
	bench.Result(out, "cloud_node_delete_ratio",
		millis(b.nodes(hangs), 0.50)/millis(b.nodes(none), 0.50), "ratio")
}

// ratio is the median over the rounds of a case's quantile by that of nobody asking in the same
// round.
func (b *ends) ratio(k kind, q float64) float64 {
	var all []float64
	for n, e := range b.all[k] {
		all = append(all, millis(e.pods, q)/millis(b.all[none][n].pods, q))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (b *ends) pooled(k kind) []time.Duration {
	var all []time.Duration
	for _, e := range b.all[k] {
		all = append(all, e.pods...)
	}
	slices.Sort(all)
	return all
}

func (b *ends) nodes(k kind) []time.Duration {
	var all []time.Duration
	for _, e := range b.all[k] {
		all = append(all, e.node)
	}
	slices.Sort(all)
	return all
}

// millis is a quantile of what is sorted.
func millis(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(q*float64(len(sorted)-1))].Microseconds()) / 1000
}
