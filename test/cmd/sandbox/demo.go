package main

import (
	"context"
	"fmt"
	"io"

	"github.com/epitaph-k8s/epitaph/test/demo"
)

// story plays the demonstration.
func story(ctx context.Context, out io.Writer, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%w: demo takes no arguments", errUsage)
	}
	return demo.Run(ctx, out)
}
