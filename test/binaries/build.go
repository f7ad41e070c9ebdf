package binaries

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// buildFlags never vary: each combination has entries of its own in Go's build cache, and a second
// set costs the whole twelve minutes again. The revision of our checkout is nothing these programs
// should be stamped with.
var buildFlags = []string{"-trimpath", "-mod=readonly", "-buildvcs=false"}

// A buildJob makes a group's programs in dir.
type buildJob struct {
	group       Group
	module, dir string
	out         io.Writer
}

// ensure builds those of the named programs that dir does not hold.
func (j buildJob) ensure(ctx context.Context, names []string) error {
	if len(j.absent(names)) == 0 {
		return nil
	}
	unlock, err := lock(ctx, j.dir+".lock", j.out)
	if err != nil {
		return err
	}
	defer unlock()
	names = j.absent(names)
	if len(names) == 0 {
		return nil
	}
	return j.build(ctx, names)
}

func (j buildJob) absent(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return isProgram(filepath.Join(j.dir, name))
	})
}

func (j buildJob) build(ctx context.Context, names []string) error {
	fmt.Fprintf(j.out, "building %s (%s)\n  from %s into %s\n", j.group.Name,
		strings.Join(names, ", "), j.module, j.dir)
	began := time.Now()
	if err := os.MkdirAll(j.dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", j.group.Name, err)
	}
	unfinished, err := os.MkdirTemp(j.dir, ".unfinished-")
	if err != nil {
		return fmt.Errorf("make the folder of %s: %w", j.group.Name, err)
	}
	defer os.RemoveAll(unfinished)
	if err := j.compile(ctx, unfinished, names); err != nil {
		return err
	}
	for _, name := range names {
		from := filepath.Join(unfinished, builtAs(j.group.Programs[name]))
		if err := os.Rename(from, filepath.Join(j.dir, name)); err != nil {
			return fmt.Errorf("put %s in its place: %w", name, err)
		}
	}
	fmt.Fprintf(j.out, "  built %s in %s\n", j.group.Name, time.Since(began).Round(time.Second))
	return nil
}

func (j buildJob) compile(ctx context.Context, into string, names []string) error {
	c := compilation{
		name: j.group.Name, module: j.module, out: j.out,
		flags: append([]string{"-ldflags", j.group.LDFlags}, buildFlags...),
	}
	// By the environment, since listing the dependencies has to know them too.
	var goflags []string
	if j.group.Tags != "" {
		goflags = append(goflags, "-tags="+j.group.Tags)
	}
	modFile := j.group.ModFile
	if len(j.group.LeftOut) > 0 {
		var err error
		if modFile, err = j.leaveOut(ctx, filepath.Join(into, "modules")); err != nil {
			return err
		}
	}
	if modFile != "" {
		// The quotes are Go's own (`go help environment`): a path may have a space.
		goflags = append(goflags, "'-modfile="+modFile+"'")
	}
	c.env = []string{"CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=" + strings.Join(goflags, " ")}
	for _, name := range names {
		c.packages = append(c.packages, j.group.Programs[name])
	}
	fmt.Fprintln(j.out, "  reading its dependencies (and downloading them, the first time)")
	return c.run(ctx, into+string(filepath.Separator))
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
