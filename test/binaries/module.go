package binaries

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Module returns the folder that holds a module which the group's go.mod requires, in the version
// that it requires. What is not in Go's module cache yet is downloaded.
func Module(ctx context.Context, group Group, path string) (string, error) {
	if err := goOnPath(); err != nil {
		return "", err
	}
	checkout, err := Checkout()
	if err != nil {
		return "", err
	}
	return moduleOf(ctx, filepath.Join(checkout, group.Dir), path)
}

// moduleOf does that for the go.mod in dir.
func moduleOf(ctx context.Context, dir, path string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", path)
	cmd.Dir = dir
	said, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download the module %s: %w\n%s", path, withStderr(err), said)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(said, &module); err != nil {
		return "", fmt.Errorf("download the module %s: %w", path, err)
	}
	return module.Dir, nil
}
