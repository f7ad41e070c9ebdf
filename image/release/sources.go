package release

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// sources are what a release is made of.
type sources struct{ commit, toolchain string }

// inspect refuses sources that no commit has: nobody could make that release again.
func inspect(ctx context.Context, checkout string) (s sources, err error) {
	if s.commit, err = ask(ctx, checkout, "git", "rev-parse", "HEAD"); err != nil {
		return sources{}, err
	}
	changed, err := ask(ctx, checkout, "git", "status", "--porcelain")
	if err != nil {
		return sources{}, err
	}
	if changed != "" {
		return sources{}, fmt.Errorf(
			"release: these files are not as committed; commit or remove them:\n%.2000s", changed)
	}
	s.toolchain, err = ask(ctx, checkout, "go", "env", "GOVERSION")
	return s, err
}

// ask runs a program in the checkout and returns its only line, or all of them.
func ask(ctx context.Context, checkout, program string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Dir = checkout
	said, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("ask about the sources (%s %s): %w", program, strings.Join(args, " "),
			err)
	}
	return strings.TrimSpace(string(said)), nil
}
