package doctor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/reason"
)

// reporting is a node with a report; an empty one has none.
func reporting(name, report string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.NodeInfo.BootID = "b1"
	if report != "" {
		n.Annotations = map[string]string{reason.AgentKey: report}
	}
	return n
}

const speaking = `"bootID": "b1", "speaksTo": ["10.0.0.9:6666"]`

func TestCensus(t *testing.T) {
	t.Parallel()
	const what = "agents' reports"
	many := make([]*corev1.Node, 7)
	for n := range many {
		many[n] = reporting(fmt.Sprintf("m%d", n),
			`{"bootID": "b1", "troubles": [{"code": "NoListener", "text": "no listener: start one"}]}`)
	}
	tests := map[string]struct {
		nodes []*corev1.Node
		want  []Diagnosis
	}{
		"all is well": {
			[]*corev1.Node{reporting("n1", `{`+speaking+`}`),
				reporting("n2", `{`+speaking+
					`, "lastBoot": {"bootID": "b0", "ended": "orderly"}}`)},
			[]Diagnosis{{Well, what, "2 of 2 nodes have one"}},
		},
		"each trouble once": {
			[]*corev1.Node{
				reporting("none", ""), reporting("odd", "fine"),
				reporting("late", `{"bootID": "b0", "troubles": [{"code": "NoRoute"}]}`),
				reporting("mute", `{"bootID": "b1"}`),
				reporting("back", `{`+speaking+
					`, "lastBoot": {"bootID": "b0", "ended": "panic", "panic": "sysrq triggered crash"}}`),
			},
			[]Diagnosis{
				{Well, what, "4 of 5 nodes have one"},
				{Dubious, what,
					"1 node has no report: no agent runs there, or it cannot write: none"},
				{Dubious, what, "1 node has a report that cannot be read: odd"},
				{Dubious, what,
					"1 node has a report of another boot than the present one: the agent has not reported since the restart: late"},
				{Dubious, what,
					"1 node has a kernel that speaks to no listener: a panic is not heard: mute"},
				{Dubious,
					"last boots",
					`1 node has one that ended in a panic: back. The first: sysrq triggered crash. "kubectl epitaph panics" has the kernels' lines`},
			},
		},
		"what the cloud answers": {
			[]*corev1.Node{
				reporting("n1", `{`+speaking+`, "cloud": {"provider": "aws"}}`),
				reporting("n2", `{`+speaking+
					`, "cloud": {"provider": "aws", "announced": ["spot-interruption"]}}`),
				reporting("n3", `{`+speaking+`, "cloud": {"provider": "aws", "silent": true}}`),
				reporting("n4", `{`+speaking+`, "cloud": {"provider": "\u001b[2J"}}`),
			},
			[]Diagnosis{
				{Well, what, "4 of 4 nodes have one"},
				{Well, "metadata of aws", "2 nodes have it"},
				{Dubious, "metadata of aws",
					"1 node has no answer: that the cloud takes it away is not heard: n3"},
				{Dubious, "metadata of aws", "1 node has an end announced by the cloud, " +
					"in annotation epitaph-k8s.io/evidence: n2"},
				{Well, "metadata of another cloud", "1 node has it"},
			},
		},
		"many of one": {many, []Diagnosis{
			{Well, what, "7 of 7 nodes have one"},
			{Dubious, what,
				"7 nodes have a kernel that speaks to no listener: a panic is not heard: m0, m1, m2, m3, m4 and 2 more"},
			{Dubious,
				"fault NoListener",
				"7 nodes have it: m0, m1, m2, m3, m4 and 2 more. The first says: no listener: start one"},
		}},
		"a code twice, and codes that nobody knows": {
			[]*corev1.Node{reporting("n1", `{`+speaking+
				`, "troubles": [{"code": "NoRoute", "text": "a"}, {"code": "NoRoute", "text": "b"}, {"code": "x"}, {"code": "y\u001b[2J", "text": "z"}]}`)},
			[]Diagnosis{
				{Well, what, "1 of 1 nodes have one"},
				{Dubious, "fault NoRoute", "1 node has it: n1. The first says: a"},
				{Dubious, "fault unknown", "1 node has it: n1. The first says: "},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCensus()
			for _, n := range tc.nodes {
				c.count(n)
			}
			if diff := cmp.Diff(tc.want, c.diagnoses()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// However much is written onto however many nodes, what is kept and said stays small and harmless.
func TestCensusIsBounded(t *testing.T) {
	t.Parallel()
	c := newCensus()
	for n := range 300 {
		text := strings.Repeat(`\u001b[2J`, 2000)
		report := fmt.Sprintf(
			`{"bootID": "b1", "troubles": [{"code": "code-%d", "text": "%s"}], "lastBoot": {"ended": "panic", "panic": "%s"}}`, n, text, text)
		c.count(reporting(fmt.Sprintf("n%d", n), report))
		c.count(reporting("huge", strings.Repeat("x", 1<<20)))
	}
	if len(c.complaints) != 1 {
		t.Errorf("%d codes are kept, want 1", len(c.complaints))
	}
	said := 0
	for _, d := range c.diagnoses() {
		said += len(d.Found)
		if strings.Contains(d.Found, "\x1b") {
			t.Errorf("a terminal would obey %q", d.Found)
		}
	}
	if said > 4<<10 {
		t.Errorf("%d bytes are said", said)
	}
}
