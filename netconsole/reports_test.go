package netconsole

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A report is what a kernel wrote, as published by somebody.
type report struct {
	Name, Source string
	Kernel       struct {
		Lines []struct {
			Priority int    `json:"p"`
			Text     string `json:"t"`
			// Dictionary is what the kernel adds to the line, KEY=VALUE per line.
			Dictionary string `json:"d"`
			// Wait is how many milliseconds pass before the line.
			Wait int `json:"wait"`
		}
	}
	Want struct {
		// Panic is "" if no panic must be seen, and missing if one must be.
		Panic *string
		// Drain and NotDrain are what a pod must, and must not, leave with when the node is drained
		// half a minute later.
		Drain, NotDrain string
		// Evidence is a pattern of what must be on the Node; PodCode is what the pods of a node
		// that panicked leave with.
		Evidence, PodCode string
	}
}

func reports(t *testing.T) (all []report) {
	t.Helper()
	data, err := os.ReadFile("testdata/public-reports.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 18 {
		t.Fatalf("%d reports, want 18", len(all))
	}
	return all
}

// datagrams returns what the kernel would send of it in the extended format (msg_add_ext_text of
// kernel/printk/printk.c).
func (r report) datagrams() (all []string, waits []time.Duration) {
	for n, line := range r.Kernel.Lines {
		var text strings.Builder
		for _, c := range []byte(line.Text) {
			if c < ' ' || c >= 0x7f || c == '\\' {
				fmt.Fprintf(&text, `\x%02x`, c)
			} else {
				text.WriteByte(c)
			}
		}
		d := fmt.Sprintf("%d,%d,%d,-;%s\n", line.Priority, 1000+n, 9_000_000+1000*n, text.String())
		for entry := range strings.Lines(line.Dictionary) {
			d += " " + strings.TrimSuffix(entry, "\n") + "\n"
		}
		d += " epitaph-token=" + aSecret + "\n"
		all, waits = append(all, d), append(waits, time.Duration(line.Wait)*time.Millisecond)
	}
	return all, waits
}

// drained is the reason of a pod that is evicted from the node, which was cordoned before.
func drained(node *corev1.Node, now time.Time) reason.Reason {
	node = node.DeepCopy()
	node.Spec.Unschedulable = true
	c := config.Default()
	r, _ := c.Inferrer().Infer(reason.Facts{
		Now: now, Remover: reason.Remover{User: "alice", Actor: reason.Person, Evicts: true},
		Pod: aPod("p", node.Name), Node: node,
	})
	return r
}

// Public reports, from the datagram to the reason of a drained pod.
func TestPublicReports(t *testing.T) {
	t.Parallel()
	for _, r := range reports(t) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := signed(aNode("n1", "10.0.0.1"))
				node.Status.Conditions = []corev1.NodeCondition{{
					Type: corev1.NodeReady, Status: corev1.ConditionTrue,
					LastHeartbeatTime:  metav1.NewTime(startOfBubble),
					LastTransitionTime: metav1.NewTime(startOfBubble.Add(-time.Hour)),
				}}
				c := aCluster(t, node, aLease("n1"))
				p, _ := c.aReplica(t, node.UID)
				l := aListener(p, node)
				pod := aPod("p", "n1")
				if err := c.client.Create(t.Context(), pod); err != nil {
					t.Fatal(err)
				}
				datagrams, waits := r.datagrams()
				for n, d := range datagrams {
					time.Sleep(waits[n])
					l.take(t.Context(), from1, []byte(d), l.clock.Now())
				}
				p.work.Wait()
				node = c.node(t, "n1")
				if panicked := r.Want.Panic == nil; panicked != (node == nil) {
					t.Fatalf("node removed: %t, want %t", node == nil, panicked)
				}
				if node == nil {
					return
				}
				time.Sleep(30 * time.Second)
				got := drained(node, time.Now())
				if want := r.Want.Drain; want != "" && string(got.Code) != want {
					t.Errorf("drained: %s %q, want %s", got.Code, got.Text, want)
				}
				if not := r.Want.NotDrain; not != "" && string(got.Code) == not {
					t.Errorf("drained: %s %q", got.Code, got.Text)
				}
				found, err := reason.EvidenceOn(node)
				if err != nil {
					t.Fatal(err)
				}
				if like := r.Want.Evidence; like != "" &&
					!slices.ContainsFunc(found, func(e reason.Evidence) bool {
						return regexp.MustCompile(like).MatchString(e.Detail)
					}) {
					t.Errorf("evidence %+v, want %s", found, like)
				}
			})
		})
	}
}

// A panic of five lines becomes one sentence.
func TestPanicOfSeveralLines(t *testing.T) {
	t.Parallel()
	all := reports(t)
	at := slices.IndexFunc(all, func(r report) bool { return r.Name == "hpwdt-nmi-of-five-lines" })
	synctest.Test(t, func(t *testing.T) {
		node := signed(aNode("n1", "10.0.0.1"))
		c := aCluster(t, node)
		c.alive.Store(true) // the node stays, and what it said with it
		p, notes := c.aReplica(t, node.UID)
		datagrams, _ := all[at].datagrams()
		aListener(p, node).hears(t, from1, datagrams...)
		const want = "any one of the following resources: 1. Integrated Management Log (IML) 2. OA Syslog 3. OA Forward Progress Log 4. iLO Event Log"
		if !slices.ContainsFunc(notes.notes,
			func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("%q, want %q", notes.notes, want)
		}
	})
}

// A lockup that the kernel survives explains a node that then falls silent, and nothing else.
func TestKernelTroubleExplainsSilence(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status    corev1.ConditionStatus
		heartbeat time.Duration
		want      string
	}{
		"the node reports": {corev1.ConditionTrue, 10 * time.Second,
			"This pod had to be terminated because its node was drained (node n1 by alice)"},
		"the node falls silent": {corev1.ConditionUnknown, 10 * time.Second,
			"This pod had to be terminated because its node was unreachable or unhealthy " +
				"(Ready=Unknown: NodeStatusUnknown; kernel: soft lockup of CPU 5 for 23s: watchdog: BUG: soft lockup - CPU#5 stuck for 23s! [exe:8419]; drained by alice)"},
		"it falls silent much later": {corev1.ConditionUnknown, 11 * time.Minute,
			"This pod had to be terminated because its node was unreachable or unhealthy " +
				"(Ready=Unknown: NodeStatusUnknown; drained by alice)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := signed(aNode("n1", "10.0.0.1"))
				c := aCluster(t, node)
				p, _ := c.aReplica(t, node.UID)
				aListener(p, node).hears(t, from1,
					"0,1,1000,-;watchdog: BUG: soft lockup - CPU#5 stuck for 23s! [exe:8419]\n epitaph-token="+aSecret+"\n")
				node = c.node(t, "n1")
				at := time.Now().Add(tc.heartbeat)
				node.Status.Conditions = []corev1.NodeCondition{{
					Type: corev1.NodeReady, Status: tc.status, Reason: "NodeStatusUnknown",
					LastHeartbeatTime:  metav1.NewTime(at),
					LastTransitionTime: metav1.NewTime(at.Add(50 * time.Second)),
				}}
				time.Sleep(tc.heartbeat + time.Minute)
				if got := drained(node, time.Now()); string(got.Text) != tc.want {
					t.Errorf("%q, want %q", got.Text, tc.want)
				}
			})
		})
	}
}

// From Linux 7.0 on a panic says in which task and on which CPU it happened, if the target's
// sysdata is switched on.
func TestPanicNamesItsTask(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]string{
		"7.3.4+deb13-cloud-amd64": "(sysrq triggered crash; in task init on CPU 1)",
		"6.17.0":                  "(sysrq triggered crash)",
	} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				node := signed(aNode("n1", "10.0.0.1"))
				c := aCluster(t, node)
				c.alive.Store(true) // the node stays, and what it said with it
				p, notes := c.aReplica(t, node.UID)
				aListener(p, node).hears(t, from1,
					"0,377,5581801,-;Kernel panic - not syncing: sysrq triggered crash\n epitaph-token="+aSecret+
						"\n cpu=1\n taskname=init\n release="+release+"\n msgid=4\n")
				if !slices.ContainsFunc(notes.notes,
					func(n string) bool { return strings.Contains(n, strings.Trim(want, "()")) }) ||
					slices.ContainsFunc(notes.notes, func(n string) bool {
						return strings.Contains(n, "in task") != strings.Contains(want,
							"in task") && strings.Contains(n, "sysrq")
					}) {
					t.Errorf("%q, want %q", notes.notes, want)
				}
			})
		})
	}
}
