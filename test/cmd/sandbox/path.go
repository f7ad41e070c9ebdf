package main

import (
	"context"
	"fmt"
	"io"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// path prints where one program is, for scripts; it builds the program if that has not been done.
func path(ctx context.Context, out io.Writer, names []string) error {
	if len(names) != 1 {
		return fmt.Errorf("%w: path PROGRAM: name one program", errUsage)
	}
	for _, group := range binaries.Groups {
		if _, ok := group.Programs[names[0]]; !ok {
			continue
		}
		paths, err := binaries.Ensure(ctx, io.Discard, group)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, paths[names[0]])
		return err
	}
	return fmt.Errorf("%w: there is no program %q", errUsage, names[0])
}
