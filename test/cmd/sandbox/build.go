package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// build without names makes what a sandbox needs.
func build(ctx context.Context, out io.Writer, names []string) error {
	groups := []binaries.Group{binaries.ControlPlane, binaries.Tools}
	if len(names) > 0 {
		groups = nil
	}
	for _, name := range names {
		i := slices.IndexFunc(binaries.Groups,
			func(g binaries.Group) bool { return g.Name == name })
		if i < 0 {
			return fmt.Errorf("%w: there is no group %q", errUsage, name)
		}
		groups = append(groups, binaries.Groups[i])
	}
	paths, err := binaries.Ensure(ctx, out, groups...)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		fmt.Fprintf(out, "%-26s %s\n", name, paths[name])
	}
	return nil
}
