// Command netconsole measures what the listener takes: a sender that outruns receivers, a flood
// from forged addresses, and a panic of a full node on the real control plane.
//
// The yardstick in the same run is the loop that everybody would write first: one
// ReadFromUDPAddrPort per datagram, and a search for the words. Sender and receivers are processes
// of their own, so that each one's CPU time and memory are its own.
//
//	netconsole            everything
//	netconsole -receive   only what needs no control plane
//	netconsole -removal    only what needs one
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

	"github.com/epitaph-k8s/epitaph/test/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	role := flag.String("role", "", "what this process is (used by the benchmark itself)")
	only := flag.Bool("receive", false, "measure only what needs no control plane")
	onlyRemovals := flag.Bool("removal", false,
		"measure only from a panic to the last pod and the Node, signed and unsigned")
	lasting := flag.Duration("lasting", 8*time.Second, "how long each flood lasts")
	flag.Parse()
	var err error
	switch *role {
	case "listener", "naive":
		err = receive(ctx, *role, os.Stdin, os.Stdout)
	default:
		if *onlyRemovals {
			err = removeBoth(ctx, os.Stdout)
		} else {
			err = run(ctx, os.Stdout, *lasting, *only)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// rate is how many datagrams a second the listener must take without a loss that matters.
const rate = 300_000

func run(ctx context.Context, out io.Writer, lasting time.Duration, receiveOnly bool) error {
	steady, err := measure(ctx, "listener", flood{rate: rate, lasting: lasting,
		sources: knownSources})
	if err != nil {
		return err
	}
	unlimited, err := measure(ctx, "listener", flood{lasting: lasting, sources: knownSources})
	if err != nil {
		return err
	}
	naive, err := measure(ctx, "naive", flood{rate: rate, lasting: lasting, sources: knownSources})
	if err != nil {
		return err
	}
	naiveUnlimited, err := measure(ctx, "naive", flood{lasting: lasting, sources: knownSources})
	if err != nil {
		return err
	}
	forged, err := measure(ctx, "listener", flood{lasting: lasting, sources: forgedSources})
	if err != nil {
		return err
	}
	lying, err := measure(ctx, "listener", flood{lasting: lasting, sources: allNodes,
		fragments: true})
	if err != nil {
		return err
	}
	show(out, fmt.Sprintf("listener, %d datagrams/s", rate), steady)
	show(out, "listener, unlimited", unlimited)
	show(out, fmt.Sprintf("naive loop, %d datagrams/s", rate), naive)
	show(out, "naive loop, unlimited", naiveUnlimited)
	show(out, fmt.Sprintf("listener, %d forged sources", forgedSources), forged)
	show(out, fmt.Sprintf("listener, fragments of %d nodes", allNodes), lying)
	bench.Result(out, "netconsole_received_share", 100*steady.share(), "%")
	bench.Result(out, "netconsole_unlimited_per_second", unlimited.perSecond(), "datagrams/s")
	bench.Result(out, "netconsole_cpu_ratio_to_naive",
		steady.cpuPerDatagram()/naive.cpuPerDatagram(), "ratio")
	bench.Result(out, "netconsole_rss_mb", max(steady.RSS, unlimited.RSS, forged.RSS,
		lying.RSS)/(1<<20), "MB")
	bench.Result(out, "netconsole_allocs_per_datagram", steady.Allocations/max(1, steady.Received),
		"allocations")
	if receiveOnly {
		return nil
	}
	return removeBoth(ctx, out)
}

func show(out io.Writer, what string, m measurement) {
	fmt.Fprintf(out,
		"%-34s sent %9.0f  received %9.0f (%6.2f %%, %7.0f/s)  dropped by the kernel %8.0f  CPU %4.0f ns/datagram  RSS %5.1f MB  allocations %.0f\n",
		what, m.sent, m.Received, 100*m.share(), m.perSecond(), m.Drops, m.cpuPerDatagram(),
		m.RSS/(1<<20), m.Allocations)
}
