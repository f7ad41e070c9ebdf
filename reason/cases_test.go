package reason

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// An inferenceCase is a file of testdata/cases: see the README there.
type inferenceCase struct {
	// Name is that of a case which shares its file with others.
	Name        string `json:"name"`
	Description string `json:"description"`
	// Now defaults to noon of 1 May 2026.
	Now     *time.Time `json:"now"`
	Remover struct {
		User   string   `json:"user"`
		Groups []string `json:"groups"`
		Evicts bool     `json:"evicts"`
		Says   string   `json:"says"`
		For    string   `json:"for"`
		Unseen bool     `json:"unseen"`
	} `json:"remover"`
	Pod        *corev1.Pod  `json:"pod"`
	Node       *corev1.Node `json:"node"`
	NodeGone   bool         `json:"nodeGone"`
	NodeReason *wantReason  `json:"nodeReason"`
	Preemptors []corev1.Pod `json:"preemptors"`
	// DeviceTaints are those of the pod's devices.
	DeviceTaints []DeviceTaint `json:"deviceTaints"`
	Owner        struct {
		UID       types.UID `json:"uid"`
		Deleted   bool      `json:"deleted"`
		Finished  bool      `json:"finished"`
		Suspended bool      `json:"suspended"`
		Surplus   bool      `json:"surplus"`
		Failed    string    `json:"failed"`
		Revision  Revision  `json:"revision"`
	} `json:"owner"`
	OwnerEnd OwnerEnd `json:"ownerEnd"`
	// Objects decide about the pod.
	Objects  []map[string]any `json:"objects"`
	Operated string           `json:"operated"`
	// Claim is the node's NodeClaim.
	Claim struct {
		Name       string       `json:"name"`
		UID        types.UID    `json:"uid"`
		Disruption string       `json:"disruption"`
		Expired    bool         `json:"expired"`
		Deleted    bool         `json:"deleted"`
		Unhealthy  bool         `json:"unhealthy"`
		Said       []ClaimWords `json:"said"`
		End        OwnerEnd     `json:"end"`
	} `json:"claim"`
	NamespaceTerminating bool       `json:"namespaceTerminating"`
	Signals              []Signal   `json:"signals"`
	Identities           []Identity `json:"identities"`
	NamePreemptors       bool       `json:"namePreemptors"`

	// Want is left out where nothing must be inferred.
	Want *wantReason `json:"want"`
}

type wantReason struct {
	Code Code   `json:"code"`
	Text Text   `json:"text"`
	By   string `json:"by"`
	// Supposed is that of [Reason].
	Supposed bool `json:"supposed"`
}

func (c inferenceCase) facts() Facts {
	f := Facts{
		Now: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Pod: c.Pod, Node: c.Node,
		NodeGone:     c.NodeGone,
		DeviceTaints: c.DeviceTaints, Owner: Owner(c.Owner), Claim: NodeClaim(c.Claim),
		Operated: c.Operated, OwnerEnd: c.OwnerEnd,
		NamespaceTerminating: c.NamespaceTerminating,
		Remover:              RemoverOf(c.Remover.User, c.Remover.Groups),
	}
	f.Remover.Evicts, f.Remover.Says, f.Remover.For = c.Remover.Evicts, c.Remover.Says,
		c.Remover.For
	if c.Remover.Unseen {
		f.Remover.Actor = 0
	}
	if c.Now != nil {
		f.Now = *c.Now
	}
	for _, content := range c.Objects {
		f.Objects = append(f.Objects, objectOf(content))
	}
	if c.NodeReason != nil {
		f.NodeReason = Reason(*c.NodeReason)
	}
	for n := range c.Preemptors {
		f.Preemptors = append(f.Preemptors, &c.Preemptors[n])
	}
	return f
}

// objectOf is an object as it is read.
func objectOf(content map[string]any) *Object {
	text, err := yaml.Marshal(content)
	if err != nil {
		panic(fmt.Sprintf("encode an object of a case: %v", err))
	}
	o := &Object{}
	if err := yaml.Unmarshal(text, o); err != nil {
		panic(fmt.Sprintf("read an object of a case: %v", err))
	}
	o.Content = content
	return o
}

// inferrer returns the one with the defaults, and with the case's own signals and identities before
// them.
func (c inferenceCase) inferrer(signals []Signal, identities []Identity) Inferrer {
	if len(c.Signals) > 0 {
		signals = Ranked(slices.Concat(c.Signals, signals))
	}
	return Inferrer{
		Keys: DefaultKeys(), Signals: signals, Identities: slices.Concat(c.Identities, identities),
		OwnerSignals: DefaultOwnerSignals(), NamePreemptors: c.NamePreemptors,
	}
}

func (c inferenceCase) diff(i Inferrer, by ruleset) string {
	var got, want Reason
	if c.Want != nil {
		want = Reason(*c.Want)
	}
	if r, ok := i.infer(by, c.facts()); ok {
		got = r
	}
	return cmp.Diff(want, got)
}

const casesDir = "testdata/cases"

func readCases(t *testing.T) map[string]inferenceCase {
	t.Helper()
	files, err := filepath.Glob(casesDir + "/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]inferenceCase{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n---\n") {
			var c inferenceCase
			if err := yaml.UnmarshalStrict([]byte(part), &c); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if c.Description == "" || c.Pod == nil && c.Node == nil {
				t.Fatalf("%s %s: a case needs a description, and a pod or a node that goes", file,
					c.Name)
			}
			name := path.Join(strings.TrimSuffix(filepath.Base(file), ".yaml"), c.Name)
			if _, twice := all[name]; twice {
				t.Fatalf("two cases are called %s", name)
			}
			all[name] = c
		}
	}
	return all
}

func TestCases(t *testing.T) {
	t.Parallel()
	cases := readCases(t)
	if len(cases) < 60 {
		t.Errorf("there are %d cases, want 60 or more", len(cases))
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := c.facts()
			pod, node := before.Pod.DeepCopy(), before.Node.DeepCopy()
			if diff := c.diff(c.inferrer(DefaultSignals(), DefaultIdentities()),
				rules); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.Description, diff)
			}
			if diff := cmp.Diff(pod, before.Pod) + cmp.Diff(node, before.Node); diff != "" {
				t.Errorf("the facts were changed:\n%s", diff)
			}
		})
	}
}

// anyFails reports whether at least one case notices the change.
func anyFails(cases map[string]inferenceCase, signals []Signal, identities []Identity,
	by ruleset) bool {
	for _, c := range cases {
		if c.diff(c.inferrer(signals, identities), by) != "" {
			return true
		}
	}
	return false
}

// A rule that can be removed without a failing case is a rule that nobody can rely on.
func TestEveryRuleHasACase(t *testing.T) {
	t.Parallel()
	cases := readCases(t)
	wanted := func(what string, signals []Signal, identities []Identity, by ruleset) {
		if !anyFails(cases, signals, identities, by) {
			t.Errorf("no case in %s fails without %s", casesDir, what)
		}
	}
	for n, s := range DefaultSignals() {
		wanted(fmt.Sprintf("the signal %+v", s.Mark), slices.Delete(DefaultSignals(), n, n+1),
			DefaultIdentities(), rules)
	}
	for n, id := range DefaultIdentities() {
		wanted("the identity "+id.User.String(), DefaultSignals(),
			slices.Delete(DefaultIdentities(), n, n+1), rules)
	}
	for what, less := range poorer(rules) {
		wanted(what, DefaultSignals(), DefaultIdentities(), less)
	}
}

// poorer returns the ruleset without each of its rules in turn.
func poorer(full ruleset) map[string]ruleset {
	all := map[string]ruleset{}
	for n := range full.pod {
		less := full
		less.pod = slices.Delete(slices.Clone(full.pod), n, n+1)
		all["link "+string(rune('0'+n))+" of the chain for pods"] = less
	}
	for n := range full.node {
		less := full
		less.node = slices.Delete(slices.Clone(full.node), n, n+1)
		all["link "+string(rune('0'+n))+" of the chain for nodes"] = less
	}
	for key := range full.disruptions {
		less := full
		less.disruptions = without(full.disruptions, key)
		all["the DisruptionTarget reason "+key] = less
	}
	for n, s := range full.statuses() {
		less := full
		less.statuses = func() []Status { return slices.Delete(Statuses(), n, n+1) }
		all[fmt.Sprintf("the status %s %s", s.Reason, s.Message)] = less
	}
	for n, s := range full.podSignals() {
		less := full
		less.podSignals = func() []PodSignal { return slices.Delete(PodSignals(), n, n+1) }
		all[fmt.Sprintf("the signal of a pod %+v", s.Mark)] = less
	}
	for n, event := range full.claimEvents() {
		less := full
		less.claimEvents = func() []ClaimEvent { return slices.Delete(ClaimEvents(), n, n+1) }
		all["the Event "+event.Reason+" of a NodeClaim"] = less
	}
	for key := range full.podRemovers {
		less := full
		less.podRemovers = without(full.podRemovers, key)
		all["the remover of pods "+key.String()] = less
	}
	for key := range full.nodeRemovers {
		less := full
		less.nodeRemovers = without(full.nodeRemovers, key)
		all["the remover of nodes "+key.String()] = less
	}
	return all
}

func without[K comparable, V any](m map[K]V, key K) map[K]V {
	less := maps.Clone(m)
	delete(less, key)
	return less
}

// Every user name of Kubernetes' own components must appear in a case, or nobody knows what is
// inferred from it.
func TestEveryActorHasACase(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range readCases(t) {
		seen[c.Remover.User] = true
	}
	for _, id := range KubernetesIdentities() {
		if user := id.User.String(); !strings.Contains(user, "*") && !seen[user] {
			t.Errorf("no case in %s is about the user %s", casesDir, user)
		}
	}
}

// Two signals can match the same node: the cases decide which is the root cause, and the order must
// be theirs.
func TestEverySignalSaysWhereItComesFrom(t *testing.T) {
	t.Parallel()
	for _, s := range DefaultSignals() {
		if s.Source == "" {
			t.Errorf("the signal %+v does not name the project that emits it", s.Mark)
		}
		if !s.Code.OfNodes() {
			t.Errorf("the signal %+v leads to %s, which is no disruption of a node", s.Mark, s.Code)
		}
		if s.Rank == "" {
			t.Errorf("the signal %+v has no rank", s.Mark)
		}
		for _, m := range slices.Concat([]Mark{s.Mark}, s.With, s.Without) {
			if err := m.Check(); err != nil {
				t.Errorf("the mark %+v: %v", m, err)
			}
		}
	}
	for _, s := range Statuses() {
		if s.Source == "" || !s.Code.Known() {
			t.Errorf("the status %s %s does not name its source, or leads to %q", s.Reason,
				s.Message, s.Code)
		}
	}
	for _, s := range PodSignals() {
		if err := s.Mark.Check(); err != nil || s.Source == "" || len(s.Users) == 0 ||
			!s.Code.Known() {
			t.Errorf("the signal of a pod %+v is not whole: %v", s, err)
		}
	}
	for _, event := range ClaimEvents() {
		if event.Source == "" || !event.Code.OfNodes() {
			t.Errorf("the Event %s of a NodeClaim does not name its source, or leads to %q",
				event.Reason, event.Code)
		}
	}
	for _, id := range DefaultIdentities() {
		if id.Source == "" {
			t.Errorf("the identity %s does not name the project that runs under it", id.User)
		}
	}
}
