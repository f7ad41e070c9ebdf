// Command sandbox runs Epitaph on a real control plane on this machine.
//
//	sandbox build [GROUP...]   find or build the programs (controlplane, tools; charttools and lint only when named)
//	sandbox path PROGRAM       print where one of them is
//	sandbox up [flags]         start everything in the foreground, until Ctrl-C
//	sandbox demo [-real]       start everything, play the demonstration, stop; a real node's kernel panics if asked for
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// A command is a subcommand. Its run gets a context that ends at the first interrupt.
type command struct {
	name, summary string
	run           func(ctx context.Context, out io.Writer, args []string) error
}

var commands = []command{
	{"build", "find or build the programs: build [controlplane|tools|charttools|lint ...]", build},
	{"path", "print the path of a program that build has built: path [GROUP] PROGRAM", path},
	{"up", "start a sandbox in the foreground; up -help lists its flags", up},
	{"demo", "start a sandbox, let pods and nodes die, and print what each died of", story},
}

func main() {
	// SIGHUP too: a closed terminal must stop the sandbox as Ctrl-C does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM,
		syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Stdout, os.Args[1:])
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "sandbox: interrupted; nothing is left running")
		os.Exit(130)
	case errors.Is(err, errUsage):
		usage(os.Stderr)
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(ctx context.Context, out io.Writer, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: name a command", errUsage)
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(ctx, out, args[1:])
		}
	}
	return fmt.Errorf("%w: there is no command %q", errUsage, args[0])
}

func usage(out io.Writer) {
	fmt.Fprintln(out, "sandbox COMMAND [flags]")
	for _, c := range commands {
		fmt.Fprintf(out, "  %-8s %s\n", c.name, c.summary)
	}
}
