package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/test/demo"
)

// story plays the demonstration.
func story(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	real := flags.Bool("real", false, "have the kernel of a real node panic, by emulation")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: demo takes no arguments", errUsage)
	}
	ctrl.SetLogger(logr.Discard()) // What the client library logs is no part of the story.
	if *real {
		return demo.RunReal(ctx, out)
	}
	return demo.Run(ctx, out)
}
