package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// path prints where one program is, for scripts; it builds the program if that has not been done.
// Of programs of the same name, the group chooses; without one it is the first.
func path(ctx context.Context, out io.Writer, names []string) error {
	if len(names) == 0 || len(names) > 2 {
		return fmt.Errorf("%w: path [GROUP] PROGRAM: name one program", errUsage)
	}
	program := names[len(names)-1]
	for _, group := range binaries.Groups {
		if _, ok := group.Programs[program]; !ok || len(names) == 2 && group.Name != names[0] {
			continue
		}
		paths, err := binaries.Ensure(ctx, io.Discard, group)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, paths[program])
		return err
	}
	return fmt.Errorf("%w: there is no program %q", errUsage, strings.Join(names, " "))
}
