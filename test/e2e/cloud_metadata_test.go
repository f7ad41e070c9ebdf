package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/metadata"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// A cloudNode is a node whose agent hears what the cloud announces, with a pod on it.
type cloudNode struct {
	sandbox.Node
	ns, address string
	service     *sandbox.Process
	watcher     *metadata.Watcher
}

// later has the service announce nothing during the test.
const later = "36000"

// cloudNode makes a node, whose agent runs with its own token. At first nothing is announced.
func (c *cluster) cloudNode(t *testing.T) *cloudNode {
	t.Helper()
	address, err := sandbox.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	n := &cloudNode{Node: c.node(t), ns: c.namespace(t), address: address}
	c.pod(t, n.ns, n.Name, "p")
	n.announces(t, c, "spot", "--mock-delay-sec", later, "--rebalance-delay-sec", later)
	api, err := client.New(c.agentOf(t, n.Name), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	settings := config.Default().Agent.Cloud
	settings.Provider, settings.Endpoint = config.AWS, "http://"+address
	settings.Period.Duration = time.Second
	n.watcher = metadata.New(metadata.Options{Config: settings, Node: n.Name, BootID: n.BootID,
		Live: api, Terminator: termination.New(api, keys, clock.RealClock{}),
		Clock: clock.RealClock{}, Log: logr.Discard()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- n.watcher.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return n
}

// announces has the metadata service play something else.
func (n *cloudNode) announces(t *testing.T, c *cluster, args ...string) {
	t.Helper()
	if n.service != nil {
		n.service.Stop()
	}
	var err error
	if n.service, err = c.StartEC2Metadata(t.Context(), n.address, args...); err != nil {
		t.Fatal(err)
	}
}

// evidence waits until the Node has evidence of these kinds.
func (n *cloudNode) evidence(t *testing.T, c *cluster, kinds ...string) {
	t.Helper()
	c.hasEvidence(t, n.Name, kinds...)
}

func (c *cluster) hasEvidence(t *testing.T, name string, kinds ...string) {
	t.Helper()
	c.eventually(t, "the evidence is as it should be", func(ctx context.Context) (bool, error) {
		node, err := c.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		all, err := reason.EvidenceOn(node)
		var found []string
		for _, e := range all {
			found = append(found, e.What)
		}
		return slices.Equal(found, kinds), err
	})
}

// goes takes the instance away, and checks what node and pod leave with.
func (n *cloudNode) goes(t *testing.T, c *cluster, code reason.Code, detail, by string) {
	t.Helper()
	if err := c.TakeInstanceAway(n.Name); err != nil {
		t.Fatal(err)
	}
	c.leaves(t, reason.Node, n.Name, reason.New(reason.Node, code, detail, by))
	c.leaves(t, reason.Pod, n.ns+"/p", reason.New(reason.Pod, code, detail, by))
}

// What EC2's metadata service announces, as amazon-ec2-metadata-mock plays it, is what node and pods
// leave with when the cloud-controller-manager finds that the instance is gone.
func TestCloudTellsTheNode(t *testing.T) {
	t.Parallel()
	const ec2, soon, far = "Amazon EC2", "SOON", "FAR"
	for name, tc := range map[string]struct {
		plays        []string
		what, detail string
		code         reason.Code
	}{
		"spot": {
			plays: []string{"spot", "--time", soon, "--rebalance-delay-sec", later},
			what:  reason.EvidenceSpot, code: reason.SpotInterrupted,
			detail: "terminate at " + soon,
		},
		"rebalance": {
			plays: []string{"spot", "--mock-delay-sec", later, "--rebalance-rec-time", soon},
			what:  reason.EvidenceRebalance, code: reason.SpotInterrupted,
			detail: "its replacement was recommended at " + soon,
		},
		"retirement": {
			plays: []string{"events", "--code", "instance-retirement", "--not-before", soon,
				"--not-after", far},
			what: reason.EvidenceHostFailure, code: reason.HardwareFailure,
			detail: "instance-retirement not before " + soon +
				": The instance is scheduled for instance-retirement",
		},
		"group": {
			plays: []string{"asglifecycle"},
			what:  reason.EvidenceScaleIn, code: reason.NodeScaledDown,
			detail: "its Auto Scaling group terminates it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := shared.cloudNode(t) // which may have to build the service first
			times := strings.NewReplacer(
				soon, time.Now().UTC().Add(5*time.Minute).Format(time.RFC3339),
				far, time.Now().UTC().Add(7*24*time.Hour).Format(time.RFC3339))
			var plays []string
			for _, argument := range tc.plays {
				plays = append(plays, times.Replace(argument))
			}
			n.announces(t, shared, plays...)
			n.evidence(t, shared, tc.what)
			n.goes(t, shared, tc.code, times.Replace(tc.detail), ec2)
		})
	}
}

// An end that was announced, and is announced no more while the instance stays, explains nothing.
func TestCloudTakesItBack(t *testing.T) {
	t.Parallel()
	n := shared.cloudNode(t)
	n.announces(t, shared, "spot", "--rebalance-delay-sec", later)
	n.evidence(t, shared, reason.EvidenceSpot)
	// The service is away for a while: that withdraws nothing.
	n.service.Stop()
	n.service = nil
	shared.eventually(t, "the agent misses the service",
		func(context.Context) (bool, error) { return n.watcher.State().Silent, nil })
	n.evidence(t, shared, reason.EvidenceSpot)
	n.announces(t, shared, "spot", "--mock-delay-sec", later, "--rebalance-delay-sec", later)
	n.evidence(t, shared)
	if err := shared.TakeInstanceAway(n.Name); err != nil {
		t.Fatal(err)
	}
	d := shared.leaves(t, reason.Node, n.Name, reason.Reason{})
	if d.Reason.Code != reason.CloudInstanceGone {
		t.Errorf("the node left with %+v", d.Reason)
	}
}

// The agent as the chart runs it, with the token of its pod, hears the cloud and says so.
func TestAgentProcessHearsTheCloud(t *testing.T) {
	t.Parallel()
	address, err := sandbox.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shared.StartEC2Metadata(t.Context(), address, "asglifecycle"); err != nil {
		t.Fatal(err)
	}
	a := shared.agentProcess(t, func(k *config.Config) {
		k.Agent.Cloud.Provider, k.Agent.Cloud.Endpoint = config.AWS, "http://"+address
		k.Agent.Period.Duration = 2 * time.Second
	})
	a.follows(t)
	shared.hasEvidence(t, a.node, reason.EvidenceScaleIn)
	want := termination.Cloud{Provider: config.AWS, Announced: []string{reason.EvidenceScaleIn}}
	shared.eventually(t, "the agent reports it", func(context.Context) (bool, error) {
		report, _ := shared.report(t, a.node)
		return cmp.Equal(&want, report.Cloud), nil
	})
}
