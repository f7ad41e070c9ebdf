// Command kubectl-epitaph is the kubectl plugin of Epitaph: kubectl finds it on the PATH as
// `kubectl epitaph`.
//
// It tells what happened to a pod, a node or a job, lists the records, deletes with a reason, and
// examines an installation. It exits with 0, 1 (error, or doctor found something broken), 2 (usage)
// or 3 (nothing of that name).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
)

// version is stamped by the build: -ldflags "-X main.version=v1.2.3".
var version = "devel"

// The exit codes beside 0.
const (
	exitError    = 1
	exitUsage    = 2
	exitNotFound = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctrl.SetLogger(logr.Discard()) // Logs of libraries are not for users.
	p := &plugin{
		out: os.Stdout, errOut: os.Stderr, clock: clock.RealClock{},
		colours: terminal.ColoursFor(os.Stdout, os.Getenv), zone: time.Local,
	}
	command := p.command()
	command.SetArgs(os.Args[1:])
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", explain(err))
		os.Exit(exitCode(err))
	}
}

var (
	errUsage    = errors.New("usage")
	errNotFound = errors.New("not found")
)

func exitCode(err error) int {
	switch {
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errNotFound):
		return exitNotFound
	default:
		return exitError
	}
}
