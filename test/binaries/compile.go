package binaries

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// interruptGrace is how long an interrupted compiler has to clean up before it is killed.
const interruptGrace = 10 * time.Second

// A compilation is one run of `go build`.
type compilation struct {
	name, module         string
	packages, flags, env []string
	out                  io.Writer
}

// run builds the packages into a file, or into a folder whose path ends in a separator.
func (c compilation) run(ctx context.Context, into string) error {
	dependencies, err := c.listDependencies(ctx)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-v", "-o", into}, c.flags...)
	cmd := c.command(ctx, append(args, c.packages...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("build %s: %w", c.name, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("build %s: %w", c.name, err)
	}
	progress := newProgress(c.out, dependencies, time.Now())
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	progress.follow(lines(stderr), tick.C)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", c.name, errors.Join(ctx.Err(), err),
			progress.complaints())
	}
	return nil
}

// listDependencies names every package that has to be compiled or found in Go's build cache. On a
// fresh machine this is also where the modules are downloaded.
func (c compilation) listDependencies(ctx context.Context) ([]string, error) {
	listed, err := c.command(ctx, append([]string{"list", "-mod=readonly", "-deps"},
		c.packages...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("list the dependencies of %s: %w", c.name, withStderr(err))
	}
	return strings.Fields(string(listed)), nil
}

func (c compilation) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = c.module
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	return cmd
}

// lines sends each line of r until it ends.
func lines(r io.Reader) <-chan string {
	sent := make(chan string)
	go func() {
		defer close(sent)
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			sent <- scanner.Text()
		}
		// A line beyond the buffer must not leave the compiler blocked on a full pipe.
		_, _ = io.Copy(io.Discard, r)
	}()
	return sent
}

// withStderr adds what the command complained about, which exec.ExitError keeps but does not print.
func withStderr(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
