package main

import (
	"context"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/test/demo"
)

// story plays the demonstration.
func story(ctx context.Context, out io.Writer, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: demo takes no arguments", errUsage)
	}
	ctrl.SetLogger(logr.Discard()) // What the client library logs is no part of the story.
	return demo.Run(ctx, out)
}
