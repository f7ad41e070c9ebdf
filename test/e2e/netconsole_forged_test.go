package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// forgedNodes is how many nodes somebody forges a panic of, and forgedProbes how many goroutines
// the looks at 32 of them take with three probes each, and two of every probe's connection.
const (
	forgedNodes  = 200
	forgedProbes = 32 * (1 + 3*3)
)

// 200 forged panics of as many nodes that do not answer, and whose Leases run out: a bounded number
// of them is looked at at the same time, and each Lease is read no more than its node is looked at.
func TestForgedPanicsCostABoundedAmount(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			undisturbed(k)
			k.Netconsole.Brake.Nodes = 0 // what is asked for afterwards is not counted here
			k.Netconsole.ProofOfDeath.MissedRenewal = metav1.Duration{Duration: 6 * time.Second}
			// they were silent before
			k.Netconsole.ProofOfDeath.MaxReboot = metav1.Duration{Duration: 6 * time.Second}
			k.Netconsole.ProofOfDeath.QuietRound = metav1.Duration{Duration: time.Hour}
		}}})
	all := c.bareNodes(t, c.namespace(t), forgedNodes)
	heard := func() float64 {
		return c.metric(t, netconsole.MetricDatagrams) - c.metricOf(t, netconsole.MetricDatagrams,
			"outcome", "unknown-sender")
	}
	c.eventually(t, "Epitaph knows the nodes", func(context.Context) (bool, error) {
		before := heard()
		for _, n := range all {
			c.says(t, n.address, []byte("6,1,1000,-;nothing of interest\n"))
		}
		time.Sleep(200 * time.Millisecond)
		return heard()-before == forgedNodes, nil
	})
	leaseReads := func() int {
		return len(c.answered(t, func(e auditEvent) bool {
			return e.byEpitaph() && e.Verb == "get" && e.ObjectRef.Resource == "leases" &&
				e.ObjectRef.Namespace == corev1.NamespaceNodeLease
		}))
	}
	const goroutines = "go_goroutines"
	before, reads := c.metric(t, goroutines), leaseReads()
	if before == 0 {
		t.Fatalf("Epitaph has no metric %s", goroutines)
	}
	for _, n := range all {
		c.says(t, n.address, aPanic("forged"))
	}
	most, began := 0.0, time.Now()
	c.eventuallyWithin(t, tablePatience, "every panic is judged",
		func(context.Context) (bool, error) {
			most = max(most, c.metric(t, goroutines)-before)
			return c.metricOf(t, netconsole.MetricPanics, "verdict", "braked") == forgedNodes, nil
		})
	lasted := time.Since(began)
	reads = leaseReads() - reads
	t.Logf("%d forged panics: %.0f goroutines more at most, %d Leases read in %.1f s", forgedNodes,
		most, reads, lasted.Seconds())
	if most > forgedProbes {
		t.Errorf("%.0f goroutines more than before, want no more than %d", most, forgedProbes)
	}
	// Two rounds that are confirmed, and one question a second whether the API server is there.
	if most := 2*forgedNodes + int(lasted.Seconds()) + 1; reads > most {
		t.Errorf("Leases were read %d times, want no more than %d times", reads, most)
	}
}
