// Package e2e tests Epitaph on the real control plane: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler and the cloud-controller-manager, with Epitaph as a
// process of its own and with exactly its own rights.
//
// Most tests share one cluster; each has a namespace and nodes of its own there. A test that stops
// what others need starts a cluster of its own (ownCluster). With -short nothing runs: the programs
// take minutes to build (make controlplane).
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// quarantine of the clusters here: long enough that a node can come back, short enough to wait for.
const quarantine = 4 * time.Second

// shared is the cluster that most tests use.
var shared *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println(
			"e2e: skipped by -short: it needs the real control plane; run make test-controlplane")
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	began := time.Now()
	var err error
	if provider, err = newIssuer(); err != nil {
		fmt.Println("e2e:", err)
		return 1
	}
	defer provider.server.Close()
	if shared, err = startCluster(ctx, sandbox.Options{Out: os.Stdout, Issuer: provider.known(),
		Epitaph: sandbox.EpitaphOptions{Configure: quick}}); err != nil {
		fmt.Println("e2e:", err)
		return 1
	}
	fmt.Printf("e2e: cluster ready after %.1f s\n", time.Since(began).Seconds())
	began = time.Now()
	code := m.Run()
	stopUsed()
	fmt.Printf("e2e: tests took %.1f s\n", time.Since(began).Seconds())
	if err := shared.Stop(); err != nil {
		fmt.Println("e2e:", err)
		return 1
	}
	if code == 0 && everyTestRuns() {
		return everyRightIsUsed()
	}
	return code
}

func everyTestRuns() bool {
	return flag.Lookup("test.run").Value.String()+flag.Lookup("test.skip").Value.String() == ""
}

// everyRightIsUsed is the last test: a right that nothing here has used is one too many.
func everyRightIsUsed() int {
	failed := 0
	for _, whose := range []account{theManager, theAgent} {
		unused, err := rights.unused(whose)
		if err != nil {
			fmt.Println("e2e:", err)
			return 1
		}
		for _, right := range unused {
			fmt.Printf(
				"e2e: charts/epitaph/files/%s grants %q, and no test has needed it: take it out, or test what needs it\n", whose.file(), right)
			failed = 1
		}
	}
	return failed
}

// quick shortens what tests would otherwise wait for.
func quick(c *config.Config) {
	c.GC.Quarantine = metav1.Duration{Duration: quarantine}
	// Tests that have nothing to do with it delete more nodes unexplained than the brake would let
	// pass.
	c.GC.Brake.Enabled = false
	c.Page.Enabled = true
	// The tests delete more than a cluster loses, and wait for what is said of each.
	c.Audit.EventsPerSecond = 50
	c.Webhook.LeftoverAfter = metav1.Duration{Duration: 5 * time.Second}
}
