package binaries

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// AssetsVariable names the folder in which programs are looked for first. It is the variable of
// controller-runtime's envtest; such folders usually hold etcd, kube-apiserver and kubectl only.
const AssetsVariable = "KUBEBUILDER_ASSETS"

// Paths tells where each program is.
type Paths map[string]string

// Ensure returns the paths of all programs of the groups, building what is neither in
// $KUBEBUILDER_ASSETS nor in the user's cache. Progress goes to out.
func Ensure(ctx context.Context, out io.Writer, groups ...Group) (Paths, error) {
	checkout, err := Checkout()
	if err != nil {
		return nil, err
	}
	paths := Paths{}
	for _, group := range groups {
		missing := fromAssets(os.Getenv(AssetsVariable), group, paths)
		if len(missing) == 0 {
			continue
		}
		dir, err := groupDir(ctx, checkout, group)
		if err != nil {
			return nil, err
		}
		job := buildJob{group: group, module: filepath.Join(checkout, group.Dir), dir: dir,
			out: out}
		if err := job.ensure(ctx, missing); err != nil {
			return nil, err
		}
		for _, name := range missing {
			paths[name] = filepath.Join(dir, name)
		}
	}
	return paths, nil
}

// CacheDir is where this project keeps what is costly to make: in the user's cache directory,
// outside of every checkout, so that a fresh clone finds it.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the user's cache directory (set HOME or XDG_CACHE_HOME): %w",
			err)
	}
	return filepath.Join(dir, "epitaph"), nil
}

// fromAssets adds to paths what the assets folder holds of the group, and returns the names of the
// rest.
func fromAssets(assets string, group Group, paths Paths) []string {
	var missing []string
	for _, name := range sortedNames(group.Programs) {
		if path := filepath.Join(assets, name); assets != "" && isProgram(path) {
			paths[name] = path
			continue
		}
		missing = append(missing, name)
	}
	return missing
}

func groupDir(ctx context.Context, checkout string, group Group) (string, error) {
	version, err := goVersion(ctx, filepath.Join(checkout, group.Dir))
	if err != nil {
		return "", err
	}
	hash, err := key(checkout, group, version)
	if err != nil {
		return "", err
	}
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, group.Name+"-"+hash), nil
}

// goVersion asks within the module, whose go.mod may select another toolchain than the one on PATH.
func goVersion(ctx context.Context, module string) (string, error) {
	if err := goOnPath(); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH")
	cmd.Dir = module
	version, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask go for its version: %w", withStderr(err))
	}
	return strings.TrimSpace(string(version)), nil
}

func goOnPath() error {
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf(
			"find the go command: %w; install Go (https://go.dev/dl) and put its bin folder on PATH", err)
	}
	return nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
