package e2e

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// The brake admits two nodes: one dies before Epitaph crashes and one after it. Then it holds, in
// the replica that has forgotten the first and in one that has heard of neither.
func TestBrakeHoldsOverARestartAndOverReplicas(t *testing.T) {
	t.Parallel()
	tight := func(k *config.Config) {
		undisturbed(k)
		k.Netconsole.Brake = config.Brake{Nodes: 2, Window: metav1.Duration{Duration: time.Hour}}
	}
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: tight}})
	c.removes(t, "before the crash")
	c.Epitaph.Kill()
	c.restart(t)
	c.removes(t, "after the crash")
	c.holds(t, c.Epitaph, "one too many")

	other, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: tight})
	if err != nil {
		t.Fatal(err)
	}
	c.holds(t, other, "one too many for another replica")
}

// removes lets a node die of a panic that is acted upon.
func (c *cluster) removes(t *testing.T, line string) {
	t.Helper()
	ns, node := c.namespace(t), c.answering(t)
	c.pod(t, ns, node.Name, "a")
	c.dies(t, node.Name)
	c.says(t, node.Address, aSignedPanic(line))
	wantPod, wantNode := panicked(line)
	c.leaves(t, reason.Pod, ns+"/a", wantPod)
	c.leaves(t, reason.Node, node.Name, wantNode)
}

// holds lets a node die of a panic that the brake keeps a replica from acting upon.
func (c *cluster) holds(t *testing.T, replica *sandbox.Epitaph, line string) {
	t.Helper()
	ns, node := c.namespace(t), c.answering(t)
	pod := c.pod(t, ns, node.Name, "a")
	c.dies(t, node.Name)
	c.saysTo(t, replica.Config.Netconsole.Address, node.Address, aSignedPanic(line))
	c.event(t, node.Name, netconsole.EventPanicRefused,
		"A kernel panic was heard ("+line+
			") but not acted upon: too many nodes were declared dead recently")
	stays(t, c, pod, time.Second)
	if found := c.aliveNode(t, node.Name); keys.Node.Has(found.Annotations) {
		t.Errorf("the Node carries a reason: %v", found.Annotations)
	}
}

// A node has told the API of its token, and its panic is longer than a datagram: the token comes in
// the second one. What is doubtful would have to wait longer than this test does.
func TestTokenInALaterFragment(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(k *config.Config) {
			undisturbed(k)
			k.Netconsole.ProofOfDeath.MissedRenewal = metav1.Duration{
				Duration: 10 * time.Minute}
		}}})
	const secret = "b25lIHNlY3JldCBwZXIgYm9vdA"
	ns, node := c.namespace(t), c.answering(t)
	if err := c.SignWith(t.Context(), node, secret); err != nil {
		t.Fatal(err)
	}
	c.pod(t, ns, node.Name, "a")
	time.Sleep(learned) // the token, too
	forged := []byte("0,300,8000000,-;Kernel panic - not syncing: forged\n " +
		config.TokenUserdata + "=guessed\n")
	c.says(t, node.Address, forged)
	c.event(t, node.Name, netconsole.EventPanicRefused,
		"A kernel panic was heard (forged) but not acted upon: its token is not the one of this boot")
	c.dies(t, node.Name)
	const first, rest = "Kernel panic - not syncing: long\n a=b\n",
		" " + config.TokenUserdata + "=" + secret + "\n"
	fragment := func(offset int, body string) []byte {
		return fmt.Appendf(nil, "0,400,9000000,-,ncfrag=%d/%d;%s", offset, len(first)+len(rest),
			body)
	}
	c.says(t, node.Address, fragment(0, first), fragment(len(first), rest))
	wantPod, wantNode := panicked("long")
	c.leaves(t, reason.Pod, ns+"/a", wantPod)
	c.leaves(t, reason.Node, node.Name, wantNode)
}
