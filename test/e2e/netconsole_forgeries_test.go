package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
	"github.com/epitaph-k8s/epitaph/test/forgeries"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// forgedPanics is how many are sent, each so long after the one before.
	forgedPanics = 2000
	betweenThem  = 25 * time.Millisecond
	// besieged is how many nodes they come from, of which every other one signs.
	besieged = 12
	// aReboot is how long a reboot takes here.
	aReboot = 20 * time.Second
	// upFor is how long a node is up between two interruptions.
	upFor = 4 * time.Second
	// interrogated is the share of forgeries that come from nodes that are down then, where there
	// are any: one in so many.
	interrogated = 2
	// judgedAfter is how long a panic of a node that lives pends here: soon, so that the next one
	// is another case.
	judgedAfter = 5 * time.Second
)

// 2,000 panics of every kind that is recorded, and beyond, come from the addresses of nodes that
// live, restart their kubelets for 1, 5 and 15 seconds, and reboot meanwhile. Nothing is deleted,
// and nothing is said of them; and the one node that panics in the end is removed. The proof of
// death is that of the default configuration.
func TestNothingThatLivesDiesOfForgedPanics(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			quick(k)
			k.Netconsole.AcceptPlain = true
			k.Netconsole.Brake.Nodes = 1000 // nothing is to be left to it
			k.Netconsole.ProofOfDeath.QuietRound = metav1.Duration{Duration: time.Second}
			k.Netconsole.ProofOfDeath.Window = metav1.Duration{Duration: judgedAfter}
		}}})
	var nodes []*patient
	for n := range besieged {
		nodes = append(nodes, c.admit(t, "besieged", n%2 == 0, false))
	}
	c.eachOf(t, nodes, func(ctx context.Context,
		p *patient) error {
		return p.prepared(ctx, tableRow{})
	})
	if t.Failed() {
		return
	}
	began := time.Now()
	c.besiege(t, nodes)
	t.Logf("%d panics were forged in %.0f s", forgedPanics, time.Since(began).Seconds())
	c.eachOf(t, nodes, func(ctx context.Context, p *patient) error {
		return errors.Join(p.told(ctx, netconsole.EventPanicRefused), p.isUntouched(ctx),
			p.isUnspokenOf(ctx))
	})
	verdicts := func(v string) float64 {
		return c.metricOf(t, netconsole.MetricPanics, "verdict", v)
	}
	if verdicts("dead") != 0 || verdicts("alive") < besieged || verdicts("forged") < 20 ||
		verdicts("known") < 100 {
		t.Errorf(
			"of the forgeries, %v were acted upon, %v refuted, %v seen through and %v added to open cases; want none and many",
			verdicts("dead"), verdicts("alive"), verdicts("forged"), verdicts("known"))
	}
	dead := nodes[0]
	if err := inOrder(t.Context(), dead.stops, dead.panics, dead.isBuried); err != nil {
		t.Errorf("the node that has panicked in the end: %v", err)
	}
	c.eachOf(t, nodes[1:], func(ctx context.Context, p *patient) error {
		return errors.Join(p.isUntouched(ctx), p.isUnspokenOf(ctx))
	})
	if n := verdicts("dead"); n != 1 {
		t.Errorf("%v nodes were declared dead, want the one that is", n)
	}
}

// besiege forges panics of the nodes while they are restless. All of them are up when it returns.
func (c *cluster) besiege(t *testing.T, nodes []*patient) {
	t.Helper()
	heard, err := forgeries.Recorded(captures)
	if err != nil {
		t.Fatal(err)
	}
	forger, err := forgeries.New(heard, append(forgeries.NearMisses(tokenOfBoot), tokenOfBefore), 1)
	if err != nil {
		t.Fatal(err)
	}
	var down downNodes
	over := make(chan struct{})
	var lives errgroup.Group
	for n, p := range nodes {
		lives.Go(func() error { return p.restless(t.Context(), n, &down, over) })
	}
	random := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(betweenThem)
	defer tick.Stop()
	for range forgedPanics {
		from := nodes[random.IntN(len(nodes))]
		if p := down.any(random); p != nil && random.IntN(interrogated) == 0 {
			from = p
		}
		if err := from.sends(t.Context(), forger.Next(), ""); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	close(over)
	if err := lives.Wait(); err != nil {
		t.Fatal(err)
	}
}

// restless interrupts the node in turn: its kubelet restarts for 1, 5 and 15 seconds, and it
// reboots.
func (p *patient) restless(ctx context.Context, turn int, down *downNodes,
	over <-chan struct{}) error {
	for ; ; turn++ {
		select {
		case <-over:
			return nil
		case <-time.After(upFor):
		}
		down.add(p)
		var err error
		switch lasting := []time.Duration{time.Second, 5 * time.Second, longRestart,
			aReboot}[turn%4]; lasting {
		case aReboot:
			err = p.reboots(ctx, lasting)
		default:
			err = inOrder(ctx, p.stops, pause(lasting), p.resumes)
		}
		down.remove(p)
		if err != nil {
			return fmt.Errorf("interrupt %s: %w", p, err)
		}
	}
}

// reboots is a reboot in good order, of which the node's agent tells; the kernel then has another
// token.
func (p *patient) reboots(ctx context.Context, lasting time.Duration) error {
	if err := inOrder(ctx, p.goesDown, p.stops, pause(lasting), p.boots); err != nil || !p.signs {
		return err
	}
	p.secret = fmt.Sprintf("%s of the boot %s", tokenOfBoot, p.BootID)
	return p.SignWith(ctx, p.Node, p.secret)
}

// isUnspokenOf looks whether nothing on the Node claims that it panicked.
func (p *patient) isUnspokenOf(ctx context.Context) error {
	node, err := p.client.CoreV1().Nodes().Get(ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	evidence, err := reason.EvidenceOn(node)
	if err != nil {
		return err
	}
	for _, e := range evidence {
		if e.What == reason.EvidencePanic {
			return fmt.Errorf("a panic that was forged is evidence on the Node: %+v", e)
		}
	}
	if _, marked := termination.MarkedDead(node); marked {
		return fmt.Errorf("the Node of a node that lives is marked: %v", node.Annotations)
	}
	return nil
}

// downNodes are the nodes that are silent now.
type downNodes struct {
	mu  sync.Mutex
	all []*patient
}

func (d *downNodes) add(p *patient) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, p)
}

func (d *downNodes) remove(p *patient) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for n := range d.all {
		if d.all[n] == p {
			d.all = append(d.all[:n:n], d.all[n+1:]...)
			return
		}
	}
}

func (d *downNodes) any(random *rand.Rand) *patient {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == 0 {
		return nil
	}
	return d.all[random.IntN(len(d.all))]
}
