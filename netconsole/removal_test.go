package netconsole

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/termination"
)

const crash = "sysrq triggered crash"

func aPanic(node *corev1.Node) kernelPanic {
	return kernelPanic{
		node: node.Name, uid: node.UID, bootID: node.Status.NodeInfo.BootID, line: crash,
		words: lastWords{}, heard: time.Now(), trust: trustSigned,
	}
}

type lastWords struct{}

func (lastWords) lines() []string { return []string{"the oops", "the last words"} }

func (lastWords) release() {}

// aPanic is signed. hears makes the replica hear that the node panicked, and waits until the
// replica has finished with it.
func hears(ctx context.Context, p *panicHandler, d kernelPanic) {
	p.hear(ctx, d)
	p.work.Wait()
}

func TestRemovalOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"), aPod("elsewhere", "n2"))
		p, _ := c.aReplica(t, node.UID)
		hears(t.Context(), p, aPanic(node))
		want := []string{"patch n1", "patch a", "delete a", "obituary n1: the oops|the last words",
			"delete n1"}
		if diff := cmp.Diff(want, c.written()); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"elsewhere"}, c.pods(t)); diff != "" {
			t.Errorf("pods that are left (-want +got):\n%s", diff)
		}
		if p.judged(verdictDead) != 1 {
			t.Errorf("%v panics were believed, want 1", p.judged(verdictDead))
		}
	})
}

func TestIntentHoldsReasonAndBoot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		ctx, die := context.WithCancel(t.Context())
		c.before = func(write string) error {
			if write == "patch a" {
				die()
				return errAway
			}
			return nil
		}
		p, _ := c.aReplicaUntil(ctx, t, node.UID)
		d := aPanic(node)
		d.line = "crash\x1b[2J\u202e of " + strings.Repeat("x", 2000)
		hears(ctx, p, d)
		got := c.node(t, "n1")
		r, err := reason.DefaultKeys().Node.Read(got.Annotations)
		if err != nil {
			t.Fatalf("read the reason on the Node: %v", err)
		}
		const start = `This node died unexpectedly because its kernel panicked! (crash\x1b[2J\u202e of xxx`
		if r.Code != reason.KernelPanic || r.By != "epitaph/netconsole" ||
			!strings.HasPrefix(string(r.Text), start) {
			t.Errorf("reason on the Node: %+v", r)
		}
		if e, ok := termination.MarkedDead(got); !ok || e.BootID != "boot-1" || e.What != "panic" {
			t.Errorf("intent %+v (found %t), want a panic of boot-1", e, ok)
		}
	})
}

func TestAPodKeepsTheReasonItHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node, pod := aNode("n1", "10.0.0.1"), aPod("a", "n1")
		pod.Annotations = map[string]string{reason.DefaultKeys().Pod.Reason: "my own words"}
		pod.Finalizers = []string{"test/hold"}
		c := aCluster(t, node, pod)
		p, _ := c.aReplica(t, node.UID)
		hears(t.Context(), p, aPanic(node))
		if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Fatal(err)
		}
		got := pod.Annotations[reason.DefaultKeys().Pod.Reason]
		if got != "my own words" || pod.Status.Phase != corev1.PodFailed ||
			pod.DeletionTimestamp == nil {
			t.Errorf("reason %q, phase %s, deleted %v; want its own words, Failed, deleted", got,
				pod.Status.Phase, pod.DeletionTimestamp)
		}
	})
}

// A pod that had finished before the panic did not die of it.
func TestAFinishedPodDidNotDieOfThePanic(t *testing.T) {
	t.Parallel()
	for phase, want := range map[corev1.PodPhase]reason.Code{
		corev1.PodSucceeded: "AlreadyEnded", corev1.PodFailed: "AlreadyEnded",
		corev1.PodRunning: "KernelPanic", corev1.PodPending: "KernelPanic",
	} {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node, pod := aNode("n1", "10.0.0.1"), aPod("a", "n1")
				pod.Status.Phase = phase
				pod.Finalizers = []string{"test/hold"}
				c := aCluster(t, node, pod)
				p, _ := c.aReplica(t, node.UID)
				hears(t.Context(), p, aPanic(node))
				if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(pod),
					pod); err != nil {
					t.Fatal(err)
				}
				r, err := reason.DefaultKeys().Pod.Read(pod.Annotations)
				if err != nil || r.Code != want || r.By != "epitaph/netconsole" {
					t.Errorf("reason %+v (%v), want %s by epitaph/netconsole", r, err, want)
				}
			})
		})
	}
}

// Whichever write a replica dies before, another one finishes the work.
func TestAnyReplicaFinishes(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"patch a", "delete a", "patch b", "delete b", "delete n1"} {
		t.Run("killed before "+last, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := aNode("n1", "10.0.0.1")
				c := aCluster(t, node, aLease("n1"), aPod("a", "n1"), aPod("b", "n1"))
				ctx, die := context.WithCancel(t.Context())
				c.before = func(write string) error {
					if write == last {
						die()
						return errAway
					}
					return nil
				}
				first, _ := c.aReplicaUntil(ctx, t, node.UID)
				hears(ctx, first, aPanic(node))
				c.before = nil

				second, _ := c.aReplica(t, node.UID)
				left := c.node(t, "n1")
				e, marked := termination.MarkedDead(left)
				if !marked {
					t.Fatal("there is no intent to read")
				}
				second.takeOver(panicOnRecord(left, e, time.Now()))
				second.work.Wait()
				if pods := c.pods(t); len(pods) != 0 || c.node(t, "n1") != nil {
					t.Errorf("pods %v are left, Node %v; want none", pods, c.node(t, "n1"))
				}
			})
		})
	}
}

func TestTwoReplicasDoTheWorkOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		first, _ := c.aReplica(t, node.UID)
		second, _ := c.aReplica(t, node.UID)
		first.hear(t.Context(), aPanic(node))
		second.hear(t.Context(), aPanic(node))
		first.work.Wait()
		second.work.Wait()
		got := c.written()
		for _, write := range []string{"patch a", "delete a", "delete n1"} {
			if n := count(got, write); n != 1 {
				t.Errorf("%q happened %d times, want once: %v", write, n, got)
			}
		}
	})
}

func TestAnApiServerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		c.before = func(string) error {
			if time.Since(startOfBubble) < time.Minute {
				return errAway
			}
			return nil
		}
		p, _ := c.aReplica(t, node.UID)
		hears(t.Context(), p, aPanic(node))
		if len(c.pods(t)) != 0 || c.node(t, "n1") != nil {
			t.Error("the node was not removed when the API server was back")
		}
	})
}

// startOfBubble is when time starts in every bubble of synctest.
var startOfBubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestANodeThatBootedMeanwhileStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		rebooted := false
		c.before = func(write string) error {
			if write == "patch a" && !rebooted {
				rebooted = true
				go boots(t, c, "boot-2")
				return errAway
			}
			return nil
		}
		p, notes := c.aReplica(t, node.UID)
		hears(t.Context(), p, aPanic(node))
		got := c.node(t, "n1")
		if got == nil || len(c.pods(t)) != 1 {
			t.Fatalf("node %v, pods %v; want both left alone", got, c.pods(t))
		}
		if _, marked := termination.MarkedDead(got); marked ||
			reason.DefaultKeys().Node.Has(got.Annotations) {
			t.Errorf("the Node still carries the intent or the reason: %v", got.Annotations)
		}
		if e, err := reason.EvidenceOn(got); err != nil || len(e) != 1 || e[0].BootID != "boot-1" ||
			e[0].Detail != crash {
			t.Errorf("evidence %+v (%v), want the panic of boot-1", e, err)
		}
		if !notes.has("KernelPanicRetracted: The node was found dead of a kernel panic (" + crash +
			"), but the node has booted again") {
			t.Errorf("events: %q", notes.notes)
		}
	})
}

func boots(t *testing.T, c *cluster, id string) {
	node := c.node(t, "n1")
	node.Status.NodeInfo.BootID = id
	if err := c.client.Status().Update(t.Context(), node); err != nil {
		t.Errorf("boot the node: %v", err)
	}
}

func TestALivingNodeIsNotTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		c.alive.Store(true)
		p, notes := c.aReplica(t)
		start := time.Now()
		hears(t.Context(), p, aPanic(node))
		if got := c.written(); len(got) != 0 || p.judged(verdictAlive) != 1 {
			t.Errorf("writes %v, %v vetoes; want none and 1", got, p.judged(verdictAlive))
		}
		if took := time.Since(start); took < 30*time.Second || took > 31*time.Second {
			t.Errorf("the panic was pending for %s, want the window of 30s", took)
		}
		if !notes.has("KernelPanicDoubted") || !notes.has("KernelPanicRefused") {
			t.Errorf("events: %q", notes.notes)
		}
	})
}

func TestInheritedWorkIsProvenAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		first, _ := c.aReplica(t, node.UID)
		if err := first.terminator.MarkDead(t.Context(), c.node(t, "n1"), aPanic(node).reason(),
			aPanic(node).evidence()); err != nil {
			t.Fatal(err)
		}
		c.alive.Store(true)
		second, _ := c.aReplica(t)
		marked := c.node(t, "n1")
		e, _ := termination.MarkedDead(marked)
		second.takeOver(panicOnRecord(marked, e, time.Now()))
		second.work.Wait()
		got := c.node(t, "n1")
		if got == nil || len(c.pods(t)) != 1 {
			t.Fatal("a node that answers was removed")
		}
		if _, still := termination.MarkedDead(got); still {
			t.Error("the intent was not taken back")
		}
	})
}

func TestBrakeLeavesEvidence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var nodes []*corev1.Node
		var objects []client.Object
		for n := range 30 {
			node := aNode(fmt.Sprintf("n%d", n), fmt.Sprintf("10.0.0.%d", n))
			nodes, objects = append(nodes, node), append(objects, node)
		}
		c := aCluster(t, objects...)
		p, notes := c.aReplica(t)
		for _, node := range nodes {
			p.answering.note(node.UID, time.Millisecond)
			p.hear(t.Context(), aPanic(node))
		}
		p.work.Wait()
		left := &corev1.NodeList{}
		if err := c.client.List(t.Context(), left); err != nil {
			t.Fatal(err)
		}
		if len(left.Items) != 10 || p.judged(verdictDead) != 20 || p.judged(verdictBraked) != 10 {
			t.Errorf("%d nodes left, %v dead, %v braked; want 10, 20, 10", len(left.Items),
				p.judged(verdictDead), p.judged(verdictBraked))
		}
		for _, node := range left.Items {
			if e, err := reason.EvidenceOn(&node); err != nil || len(e) != 1 ||
				e[0].What != "panic" {
				t.Errorf("evidence on %s: %+v (%v), want the panic", node.Name, e, err)
			}
		}
		if !notes.has("KernelPanicRefused: A kernel panic was heard (" + crash +
			") but not acted upon: too many nodes were declared dead recently") {
			t.Errorf("events: %q", notes.notes)
		}
	})
}

// Deaths before a restart are on record, and count.
func TestBrakeRemembersWhatIsOnRecord(t *testing.T) {
	t.Parallel()
	record := func(name, code, by string, ago time.Duration) *v1alpha1.NodeObituary {
		return &v1alpha1.NodeObituary{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1alpha1.NodeObituarySpec{
				NodeName: name, NodeUID: types.UID("uid-of-" + name), Code: code, By: by,
				Removed:   metav1.NewTime(startOfBubble.Add(-ago)),
				KernelLog: []string{"Kernel panic - not syncing: boom"},
			}}
	}
	tests := map[string]struct {
		records []client.Object
		away    bool
		want    verdict
	}{
		"nothing is on record": {want: verdictDead},
		"a panic of a moment ago": {records: []client.Object{
			record("a", "KernelPanic", reason.ByNetconsole, time.Second)}, want: verdictBraked},
		"a panic before the window": {records: []client.Object{
			record("a", "KernelPanic", reason.ByNetconsole, time.Hour)}, want: verdictDead},
		"another end": {records: []client.Object{
			record("a", "CloudInstanceGone", reason.ByNetconsole, time.Second)}, want: verdictDead},
		"a panic that somebody else told": {records: []client.Object{
			record("a", "KernelPanic", "ops", time.Second)}, want: verdictDead},
		"a panic that no kernel told": {records: []client.Object{
			silent(record("a", "KernelPanic", reason.ByNetconsole,
				time.Second))}, want: verdictDead},
		"the record cannot be read": {away: true, want: verdictBraked},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := aNode("n", "10.0.0.1")
				c := aCluster(t, append(tc.records, node)...)
				p, _ := c.aReplica(t, node.UID)
				p.config.Brake.Nodes = 1
				p.brake = newBrake(p.config.Brake)
				if tc.away {
					p.reader = unlistable{p.reader}
				}
				p.hear(t.Context(), aPanic(node))
				p.work.Wait()
				if p.judged(tc.want) != 1 {
					t.Errorf("dead: %v, braked: %v; want %s", p.judged(verdictDead),
						p.judged(verdictBraked), tc.want)
				}
			})
		})
	}
}

// silent removes the kernel's words from a record, which is then like one that somebody made
// Epitaph write by a review of their own.
func silent(o *v1alpha1.NodeObituary) *v1alpha1.NodeObituary {
	o.Spec.KernelLog = nil
	return o
}

// unlistable is a cache that cannot list obituaries.
type unlistable struct{ client.Reader }

func (u unlistable) List(ctx context.Context, list client.ObjectList,
	opts ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.NodeObituaryList); ok {
		return errAway
	}
	return u.Reader.List(ctx, list, opts...)
}

func TestASecondPanicOfTheSameNodeOpensNoSecondCase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node)
		p, _ := c.aReplica(t, node.UID)
		p.hear(t.Context(), aPanic(node))
		p.hear(t.Context(), aPanic(node))
		p.work.Wait()
		if p.judged(verdictKnown) != 1 || p.judged(verdictDead) != 1 {
			t.Errorf("%v known and %v dead, want 1 and 1", p.judged(verdictKnown),
				p.judged(verdictDead))
		}
	})
}

func TestStepsThatFailAreTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := aNode("n1", "10.0.0.1")
		c := aCluster(t, node, aPod("a", "n1"))
		failures := 0
		c.before = func(write string) error {
			if write == "delete a" && failures < 5 {
				failures++
				return errors.New("etcdserver: leader changed")
			}
			return nil
		}
		p, _ := c.aReplica(t, node.UID)
		hears(t.Context(), p, aPanic(node))
		if failures != 5 || len(c.pods(t)) != 0 || c.node(t, "n1") != nil {
			t.Errorf("%d failures, pods %v, node %v; want 5 and nothing left", failures, c.pods(t),
				c.node(t, "n1"))
		}
	})
}

func count(all []string, one string) int {
	n := 0
	for range slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s != one }) {
		n++
	}
	return n
}
