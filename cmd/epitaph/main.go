// Command epitaph is Epitaph but for the plugin of kubectl.
//
//	epitaph manager --config FILE    webhook, garbage collector and netconsole listener of a cluster
//	epitaph agent [--config FILE]    on a node: have its kernel speak to the listeners
//	epitaph policy test TEST...                  whether the webhook would decide as the tests expect
//	epitaph policy test -f FILE --review FILE    what the webhook would decide
//	epitaph version                  the version of this binary
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
)

// version is stamped by the build: -ldflags "-X main.version=v1.2.3".
var version = "devel"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "epitaph:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New(`usage: epitaph COMMAND [FLAGS]

commands:
  manager   run the webhook, the garbage collector and the netconsole listener
  agent     run on a node and have its kernel speak to the listeners
  policy    ask what the webhook would decide (policy test)
  version   print the version

"epitaph COMMAND -h" lists the flags of a command`)

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "manager":
		return runManager(ctx, args[1:], stderr)
	case "agent":
		return runAgent(ctx, args[1:], stdout, stderr)
	case "policy":
		return runPolicy(ctx, args[1:], stdout, stderr)
	case "version":
		_, err := fmt.Fprintln(stdout, "epitaph", version)
		return err
	default:
		return errUsage
	}
}
