//go:build linux

package realnode_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// shared is the cluster of every test, with one real node.
var shared *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println(
			"realnode: skipped by -short: it needs the real control plane and containerd; run make test-node")
		return
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(realnode.Main(prepare, func(ctx context.Context, dir string) int {
		began := time.Now()
		var err error
		if shared, err = startCluster(ctx, dir); err != nil {
			fmt.Println("realnode:", err)
			return 1
		}
		defer shared.stop()
		fmt.Printf("realnode: node ready after %.1f s, %s\n", time.Since(began).Seconds(),
			shared.runtime(ctx))
		return m.Run()
	}))
}

// prepare builds, or finds in the caches, every program and image.
func prepare(ctx context.Context, dir string) error {
	if _, err := binaries.Ensure(ctx, os.Stdout, binaries.ControlPlane,
		binaries.Tools); err != nil {
		return err
	}
	if _, err := realnode.Prepare(ctx, os.Stdout, dir); err != nil {
		return err
	}
	// The sandbox builds the first itself, but not in a namespace that nothing can be downloaded
	// from.
	for _, command := range []string{"epitaph", "kubectl-epitaph"} {
		if err := binaries.Product(ctx, os.Stdout, command,
			filepath.Join(dir, command)); err != nil {
			return err
		}
	}
	return nil
}

const nodeName = "real-1"

func startCluster(ctx context.Context, dir string) (*cluster, error) {
	s, err := sandbox.Start(ctx, sandbox.Options{
		Out: os.Stdout, RealNodes: true, Nodes: []sandbox.NodeSpec{{Name: "played"}},
		Epitaph: sandbox.EpitaphOptions{Configure: configure},
	})
	if err != nil {
		return nil, err
	}
	c, err := newCluster(ctx, s, dir)
	if err != nil {
		s.Stop()
	}
	return c, err
}

// configure shortens what tests would otherwise wait for.
func configure(c *config.Config) {
	c.GC.Quarantine = metav1.Duration{Duration: 4 * time.Second}
}
