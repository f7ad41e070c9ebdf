package binaries

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// leaveOut makes dir, copies there the modules of which the group leaves out files, without those
// files, and writes a go.mod that takes the copies, with its go.sum. It returns that go.mod's path.
//
// It is a copy because Go lets nobody replace files of its module cache (`go help build`: -overlay).
// By -trimpath, what is compiled does not depend on where the copy is.
func (j buildJob) leaveOut(ctx context.Context, dir string) (string, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("make a folder for the modules of %s: %w", j.group.Name, err)
	}
	mod := filepath.Join(dir, "go.mod")
	from, sums := j.group.modFiles()
	for file, to := range map[string]string{from: mod, sums: filepath.Join(dir, "go.sum")} {
		content, err := os.ReadFile(filepath.Join(j.module, file))
		if err == nil {
			err = os.WriteFile(to, content, 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("copy the module file of %s: %w", j.group.Name, err)
		}
	}
	for n, module := range sortedNames(j.group.LeftOut) {
		original, err := moduleOf(ctx, j.module, module)
		if err != nil {
			return "", err
		}
		// A short name: the module's own path is no file name everywhere.
		to := filepath.Join(dir, fmt.Sprintf("module-%d", n))
		if err := os.CopyFS(to, os.DirFS(original)); err != nil {
			return "", fmt.Errorf("copy the module %s: %w", module, err)
		}
		if err := removeIn(to, j.group.LeftOut[module]); err != nil {
			return "", fmt.Errorf("leave out a file of %s: %w; correct LeftOut of %s in group.go",
				module, err, j.group.Name)
		}
		edit := exec.CommandContext(ctx, "go", "mod", "edit", "-replace="+module+"="+to, mod)
		if said, err := edit.CombinedOutput(); err != nil {
			return "", fmt.Errorf("take the copy of %s: %w\n%s", module, err, said)
		}
	}
	return mod, nil
}

// removeIn removes a file, by its path within dir.
func removeIn(dir, file string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Remove(filepath.FromSlash(file))
}
