// Command webhook measures what the webhook costs a DELETE of a pod, on the real API server:
// without any webhook, with one that its match condition skips, and with one that writes the
// reason. The cases take turns, so that the machine's moods hit all.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	rounds = 7
	// alone and crowd are the numbers of clients.
	alone, crowd = 1, 16
	// podsAlone and podsCrowd are deleted in each turn.
	podsAlone, podsCrowd = 150, 480
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench-webhook:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	c, err := bench.Start(ctx, sandbox.Options{
		Out: out,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			// What they would do to terminating pods is not what is measured here.
			c.GC.Enabled, c.Netconsole.Enabled = false, false
			c.Webhook.LeftoverAfter = metav1.Duration{Duration: time.Hour}
		}},
	})
	if err != nil {
		return err
	}
	defer c.Stop()
	b, err := newBench(c)
	if err != nil {
		return err
	}
	one, err := b.turns(ctx, out, alone, podsAlone)
	if err != nil {
		return err
	}
	many, err := b.turns(ctx, out, crowd, podsCrowd)
	if err != nil {
		return err
	}
	handler, allocations, err := handlerShare()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the handler's own share, 12 KB pod: %.1f µs, %d allocations\n", handler,
		allocations)

	bench.Result(out, "webhook_none_p50_ms", one.median(none, p50), "ms")
	bench.Result(out, "webhook_skip_p50_ratio", one.ratio(skipped, p50), "ratio")
	bench.Result(out, "webhook_fill_p50_ratio", one.ratio(filled, p50), "ratio")
	bench.Result(out, "webhook_fill_p99_ratio", p99(one.pooled(filled))/p99(one.pooled(none)),
		"ratio")
	bench.Result(out, "webhook_crowd_fill_p50_ratio", many.ratio(filled, p50), "ratio")
	bench.Result(out, "webhook_crowd_fill_p99_ratio",
		p99(many.pooled(filled))/p99(many.pooled(none)), "ratio")
	bench.Result(out, "webhook_crowd_skip_throughput_ratio", many.ratio(skipped, perSecond),
		"ratio")
	bench.Result(out, "webhook_fill_throughput_ratio", many.ratio(filled, perSecond), "ratio")
	bench.Result(out, "webhook_all_written_ratio", many.ratio(filled, untilWritten), "ratio")
	bench.Result(out, "webhook_handler_us", handler, "µs")
	bench.Result(out, "webhook_handler_allocations", float64(allocations), "allocations")
	return nil
}

// A turn is what one case took in one round: the latencies of its deletes, sorted, and the time of
// all of them together.
type turn struct {
	latencies []time.Duration
	whole     time.Duration
	// written is when every pod was seen to carry what the case wants on it.
	written time.Duration
}

// A figure is what is read off a turn.
type figure func(turn) float64

func p50(t turn) float64          { return t.quantile(0.50) }
func p99(t turn) float64          { return t.quantile(0.99) }
func untilWritten(t turn) float64 { return t.written.Seconds() }
func perSecond(t turn) float64    { return float64(len(t.latencies)) / t.whole.Seconds() }

// quantile is in milliseconds.
func (t turn) quantile(q float64) float64 {
	return float64(t.latencies[int(q*float64(len(t.latencies)-1))].Microseconds()) / 1000
}

// A series holds the turns of all rounds by case.
type series map[kind][]turn

// median of a figure over the rounds.
func (s series) median(k kind, f figure) float64 {
	return middle(s[k], f)
}

// pooled is all rounds of a case as one: a single round has too few deletes for a 99th percentile.
func (s series) pooled(k kind) turn {
	var all turn
	for _, t := range s[k] {
		all.latencies = append(all.latencies, t.latencies...)
		all.whole += t.whole
	}
	slices.Sort(all.latencies)
	return all
}

// ratio is the median over the rounds of a case's figure by that of no webhook in the same round.
func (s series) ratio(k kind, f figure) float64 {
	var all []float64
	for n, t := range s[k] {
		all = append(all, f(t)/f(s[none][n]))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func middle(turns []turn, f figure) float64 {
	var all []float64
	for _, t := range turns {
		all = append(all, f(t))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// A runner deletes as a program does.
func runner(c *bench.Cluster) (*kubernetes.Clientset, error) {
	config := c.As(bench.Remover, "system:masters")
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return client, nil
}
