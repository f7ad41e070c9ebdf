// Command conformance runs Kubernetes' own end-to-end tests in two sandboxes, one without Epitaph
// and one with it, and compares: a test that passes without and fails with it is a fault of
// Epitaph's. The nodes are kwok's, so that only those tests can be run that need no container which
// really runs; selection.yaml says which, and why not the others.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// errNoticed is that Kubernetes' tests notice Epitaph.
var errNoticed = errors.New("tests pass without Epitaph and fail with it")

type options struct {
	// docs is a file whose table is written anew.
	docs string
	// dir takes the logs.
	dir      string
	parallel int
	// list is set where the tests are to be listed and not run.
	list bool
}

func main() {
	var o options
	flag.StringVar(&o.docs, "docs", "", "write the table of this `FILE` anew")
	flag.StringVar(&o.dir, "logs", "", "keep the logs of upstream's tests in this `FOLDER`")
	flag.IntVar(&o.parallel, "parallel", 4, "run `N` processes of upstream's tests at a time in each sandbox")
	flag.BoolVar(&o.list, "list", false, "list the tests that would be run, and run none")
	flag.Parse()
	ctrl.SetLogger(logr.Discard()) // it would complain otherwise
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, o options) error {
	chosen, err := readSelection(selectionFile)
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "epitaph-conformance-"); err != nil {
			return fmt.Errorf("make a folder for the logs: %w", err)
		}
	} else if o.dir, err = filepath.Abs(o.dir); err != nil {
		return fmt.Errorf("find the folder of the logs: %w", err)
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the logs: %w", err)
	}
	programs, err := binaries.Ensure(ctx, out, binaries.Upstream)
	if err != nil {
		return err
	}
	s := &suite{program: programs["upstream-e2e"], dir: o.dir, parallel: o.parallel}
	all, err := s.list(ctx)
	if err != nil {
		return err
	}
	tests, err := chosen.choose(all)
	if err != nil {
		return err
	}
	if o.list {
		for _, t := range tests {
			fmt.Fprintln(out, t.Name)
		}
		return nil
	}
	fmt.Fprintf(out, "%d of upstream's %d tests; logs in %s\n", len(tests), len(all), s.dir)
	r, err := compare(ctx, out, s, tests)
	if err != nil {
		return err
	}
	r.leftOut = chosen.LeftOut
	r.print(out)
	if o.docs != "" {
		if err := r.writeTable(o.docs); err != nil {
			return err
		}
	}
	bench.Result(out, "conformance_passed_without", float64(len(r.sound())), "tests")
	bench.Result(out, "conformance_failed_with", float64(len(r.noticed())), "tests")
	if noticed := r.noticed(); len(noticed) > 0 {
		return fmt.Errorf("%w: %d", errNoticed, len(noticed))
	}
	return nil
}

// compare runs the tests in two sandboxes at a time. What passes without Epitaph and fails with it
// is tried twice more: some tests fail on a busy machine.
func compare(ctx context.Context, out io.Writer, s *suite, tests []test) (report, error) {
	r := report{tests: tests}
	without := sandbox.Options{Out: out, BuiltInPodGC: true, LeaveOutChart: true,
		Epitaph: sandbox.EpitaphOptions{LeaveOut: true}}
	over := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(over)
		return inSandbox(ctx, without, func(kubeconfig string) (err error) {
			r.without, err = s.run(ctx, kubeconfig, tests)
			return err
		})
	})
	group.Go(func() error {
		return inSandbox(ctx, sandbox.Options{Out: out}, func(kubeconfig string) (err error) {
			if r.with, err = s.run(ctx, kubeconfig, tests); err != nil {
				return err
			}
			<-over
			return r.retry(ctx, s, kubeconfig)
		})
	})
	return r, group.Wait()
}
