package binaries

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Static builds a program of this checkout that needs no library of the system, for a machine or a
// container that has none.
func Static(ctx context.Context, folder, to string) error {
	if err := goOnPath(); err != nil {
		return err
	}
	checkout, err := Checkout()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags="+stripped, "-o", to,
		"./"+folder)
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", folder, err, said)
	}
	return nil
}
