//go:build linux

package installed

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/realnode"
)

// version is the chart's, and hence the tag that it asks for.
const version = "0.1.0"

// shared is what TestMain has started.
var shared *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println(
			"installed: skipped by -short: it needs the real control plane, Helm and containerd; run make test-node")
		return
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(realnode.Main(prepare, func(ctx context.Context, dir string) int {
		var err error
		if shared, err = startCluster(ctx, dir); err != nil {
			fmt.Println("installed:", err)
			return 1
		}
		defer shared.stop()
		return m.Run()
	}))
}

func prepare(ctx context.Context, dir string) error {
	if _, err := binaries.Ensure(ctx, os.Stdout, binaries.ControlPlane, binaries.Tools,
		binaries.ChartTools); err != nil {
		return err
	}
	if _, err := realnode.Prepare(ctx, os.Stdout, dir); err != nil {
		return err
	}
	return buildImage(ctx, dir)
}

// buildImage builds the image as `make image` does, for this platform alone.
func buildImage(ctx context.Context, dir string) error {
	checkout, err := binaries.Checkout()
	if err != nil {
		return err
	}
	builder := filepath.Join(dir, "image")
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(checkout, "image"),
			"-o", builder, "."),
		exec.CommandContext(ctx, builder, "--checkout", checkout, "--out", dir,
			"--version", version, "--platform", "linux/"+runtime.GOARCH),
	} {
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the image: %w\n%s", err, said)
		}
	}
	return nil
}
