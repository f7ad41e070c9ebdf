//go:build linux

package installed

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/realnode/vm"
)

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
		binaries.ChartTools, binaries.Registry); err != nil {
		return err
	}
	node, err := realnode.Prepare(ctx, os.Stdout, dir)
	if err != nil {
		return err
	}
	if _, err := realnode.BuildImage(ctx, dir); err != nil {
		return err
	}
	if err := binaries.Product(ctx, os.Stdout, "kubectl-epitaph",
		filepath.Join(dir, "kubectl-epitaph")); err != nil {
		return err
	}
	if !runs("TestRealNode") {
		return nil // It takes minutes to make.
	}
	return prepareMachine(ctx, dir, node)
}

// runs tells whether the flags -run and -skip leave a test.
func runs(test string) bool {
	matches := func(flagName string, without bool) bool {
		pattern, _, _ := strings.Cut(flag.Lookup(flagName).Value.String(), "/")
		if pattern == "" {
			return without
		}
		ok, err := regexp.MatchString(pattern, test)
		return err == nil && ok
	}
	return matches("test.run", true) && !matches("test.skip", false)
}

// prepareMachine leaves it to TestRealNode to say that there is no machine.
func prepareMachine(ctx context.Context, dir string, node realnode.Prepared) error {
	err := vm.Missing()
	if err == nil {
		err = vm.Prepare(ctx, os.Stdout, dir, node, realnode.ImageIn(dir))
	}
	if errors.Is(err, vm.ErrNotHere) {
		return os.WriteFile(filepath.Join(dir, noMachine), []byte(err.Error()), 0o644)
	}
	return err
}

// noMachine is a file that says why there is none.
const noMachine = "no-machine"
