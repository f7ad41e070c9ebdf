// Command withoutarchive measures what it costs the manager that the archive's databases are linked
// into the program: the same manager, as it is and without them, in turns on one cluster, after it
// has recorded what went.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// nodes leave with their pods, so that there are records.
	nodes, podsEach = 10, 10
	goneLimit       = 2 * time.Minute
	// settle is how long the manager has to give back what its start took.
	settle = 20 * time.Second
)

func main() {
	rounds := flag.Int("rounds", 5, "how `often` each program is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench-without-archive:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, rounds int) error {
	c, err := bench.Start(ctx, sandbox.Options{Out: out})
	if err != nil {
		return err
	}
	defer c.Stop()
	if err := record(ctx, c); err != nil {
		return err
	}
	c.Epitaph.Stop()
	programs, err := build(ctx, out)
	if err != nil {
		return err
	}
	defer programs.remove()
	memory := map[string][]bench.Megabytes{}
	for range rounds {
		for _, program := range []string{programs.with, programs.without} {
			used, err := measure(ctx, c, program)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s: %.1f MB, of which %.1f MB are its own\n", program, used.Now,
				used.Now-used.Files)
			memory[program] = append(memory[program], used)
		}
	}
	if err := report(out, "", programs.with, memory[programs.with]); err != nil {
		return err
	}
	return report(out, "_without_archive", programs.without, memory[programs.without])
}

// record has nodes leave with their pods.
func record(ctx context.Context, c *bench.Cluster) error {
	if err := c.AddNodes(ctx, "gone", nodes, podsEach); err != nil {
		return err
	}
	tally, err := c.Tally(ctx, "gone")
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.DeleteNodes(ctx, "gone", nodes, "disk sda"); err != nil {
		return err
	}
	_, err = tally.Wait(ctx, nodes*podsEach, began, goneLimit)
	return err
}

// measure runs the manager from a program, and reads its memory when it has settled.
func measure(ctx context.Context, c *bench.Cluster, program string) (bench.Megabytes, error) {
	if err := replace(c.EpitaphProgram(), program); err != nil {
		return bench.Megabytes{}, err
	}
	if err := c.Epitaph.Start(ctx); err != nil {
		return bench.Megabytes{}, err
	}
	defer c.Epitaph.Stop()
	select {
	case <-ctx.Done():
		return bench.Megabytes{}, ctx.Err()
	case <-time.After(settle):
		return c.Memory()
	}
}

// report prints the medians, and how large the program's file is.
func report(out io.Writer, name, program string, memory []bench.Megabytes) error {
	file, err := os.Stat(program)
	if err != nil {
		return fmt.Errorf("ask how large the program is: %w", err)
	}
	resident, own := make([]float64, 0, len(memory)), make([]float64, 0, len(memory))
	for _, used := range memory {
		resident, own = append(resident, used.Now), append(own, used.Now-used.Files)
	}
	bench.Result(out, "manager_rss"+name+"_mb", median(resident), "MB")
	bench.Result(out, "manager_anon"+name+"_mb", median(own), "MB")
	bench.Result(out, "program"+name+"_mb", float64(file.Size())/1e6, "MB")
	return nil
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}
