package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/agent/fault"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/hostile"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// A book is the Node, and what is written on it.
type book struct {
	client.Reader
	on    []reason.Evidence
	fails error
	reads int
}

func (b *book) Get(_ context.Context, _ client.ObjectKey, o client.Object,
	_ ...client.GetOption) error {
	b.reads++
	node := o.(*corev1.Node)
	value, err := json.Marshal(b.on)
	node.ObjectMeta = metav1.ObjectMeta{Name: "n1", UID: "u1",
		Annotations: map[string]string{reason.EvidenceKey: string(value)}}
	return err
}

func (b *book) AddEvidence(_ context.Context, _ *corev1.Node, e reason.Evidence) error {
	if b.fails != nil {
		return b.fails
	}
	b.on = append(b.on, e)
	return nil
}

func (b *book) RemoveEvidence(_ context.Context, _ *corev1.Node,
	forgettable func(reason.Evidence) bool) error {
	b.on = slices.DeleteFunc(b.on, forgettable)
	return b.fails
}

func (b *book) kinds() []string {
	var all []string
	for _, e := range b.on {
		all = append(all, e.What)
	}
	return all
}

func watch(b *book) (*Watcher, *clocktesting.FakeClock) {
	clk := clocktesting.NewFakeClock(noon)
	return New(Options{Config: config.Default().Agent.Cloud, Node: "n1", BootID: "b1", Live: b,
		Terminator: b, Clock: clk, Log: logr.Discard()}), clk
}

func (w *Watcher) passes(t *testing.T, all bool, notices ...Notice) {
	t.Helper()
	w.hear(notices, all)
	if err := w.write(t.Context(), "Amazon EC2"); err != nil {
		t.Fatal(err)
	}
}

var spotSoon = Notice{ID: "spot", What: reason.EvidenceSpot, Detail: "terminate",
	Due: noon.Add(2 * time.Minute), Until: noon.Add(12 * time.Minute)}

func TestNoticeBecomesEvidence(t *testing.T) {
	t.Parallel()
	b := &book{}
	w, _ := watch(b)
	w.passes(t, true, spotSoon)
	want := []reason.Evidence{{What: "spot-interruption", Who: "Amazon EC2", Detail: "terminate",
		When: noon, BootID: "b1", Until: noon.Add(12 * time.Minute)}}
	if diff := cmp.Diff(want, b.on); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Nothing is asked of the API server while nothing is announced.
func TestQuietTimesCostNoRequest(t *testing.T) {
	t.Parallel()
	b := &book{}
	w, clk := watch(b)
	for range 100 {
		w.passes(t, true)
		clk.Step(3 * time.Second)
	}
	if b.reads != 1 {
		t.Errorf("the Node was read %d times, want once: for what another agent left", b.reads)
	}
}

func TestWithdrawal(t *testing.T) {
	t.Parallel()
	halt := reason.Evidence{What: reason.EvidenceHalt, Who: "bob", BootID: "b1"}
	earlier := reason.Evidence{What: reason.EvidenceSpot, BootID: "b0"}
	left := reason.Evidence{What: reason.EvidenceScaleIn, BootID: "b1"}
	both := []string{reason.EvidenceHalt, reason.EvidenceSpot}
	tests := map[string]struct {
		then func(t *testing.T, w *Watcher, clk *clocktesting.FakeClock)
		want []string
	}{
		"it stands": {
			then: func(t *testing.T, w *Watcher, _ *clocktesting.FakeClock) {
				t.Helper()
				w.passes(t, true, spotSoon)
			},
			want: append(slices.Clone(both), reason.EvidenceSpot),
		},
		"the cloud says it no more": {
			then: func(t *testing.T, w *Watcher, _ *clocktesting.FakeClock) {
				t.Helper()
				w.passes(t, true)
			},
			want: both,
		},
		"the service does not answer": {
			then: func(t *testing.T, w *Watcher, _ *clocktesting.FakeClock) {
				t.Helper()
				w.passes(t, false)
			},
			want: append(slices.Clone(both), reason.EvidenceSpot),
		},
		"the cloud goes on saying it, and the machine stays": {
			then: func(t *testing.T, w *Watcher, clk *clocktesting.FakeClock) {
				t.Helper()
				clk.Step(13 * time.Minute)
				w.passes(t, true, spotSoon)
			},
			want: both,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// That of another boot is the manager's to remove, and that of a person is not ours.
			b := &book{on: []reason.Evidence{halt, earlier, left}}
			w, clk := watch(b)
			w.passes(t, true, spotSoon)
			tc.then(t, w, clk)
			if diff := cmp.Diff(tc.want, b.kinds()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An agent that has just started knows nothing: it takes nothing off before it was answered.
func TestNothingIsWithdrawnUnheard(t *testing.T) {
	t.Parallel()
	b := &book{on: []reason.Evidence{{What: reason.EvidenceSpot, BootID: "b1"}}}
	w, _ := watch(b)
	w.passes(t, false)
	w.passes(t, false, Notice{ID: "group", What: reason.EvidenceScaleIn, Lasts: time.Hour})
	if want := []string{reason.EvidenceSpot, reason.EvidenceScaleIn}; !slices.Equal(b.kinds(),
		want) {
		t.Errorf("the Node has %v, want %v", b.kinds(), want)
	}
}

// Maintenance that is weeks away explains nothing until its time has come.
func TestAheadOfTime(t *testing.T) {
	t.Parallel()
	b := &book{}
	w, clk := watch(b)
	later := Notice{ID: "event 1", What: reason.EvidenceMaintenance, Due: noon.Add(time.Hour),
		Until: noon.Add(2 * time.Hour)}
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {39 * time.Minute, 0}, {time.Minute, 1}, {79 * time.Minute, 1}, {time.Minute, 0}} {
		clk.Step(step.after)
		if w.passes(t, true, later); len(b.on) != step.want {
			t.Errorf("at %s the Node has %d notices, want %d", clk.Now(), len(b.on), step.want)
		}
	}
}

// amazon-ec2-metadata-mock names another time with each answer.
func TestTimesThatMove(t *testing.T) {
	t.Parallel()
	b := &book{}
	w, _ := watch(b)
	for n := range 20 {
		moved := spotSoon
		moved.Due = moved.Due.Add(time.Duration(n) * time.Second)
		moved.Detail = "terminate at " + at(moved.Due)
		w.passes(t, true, moved)
	}
	if len(b.on) != 1 || b.reads > 3 {
		t.Errorf("%d pieces of evidence after %d looks", len(b.on), b.reads)
	}
}

// What the cloud's text says is for people, and bounded; so is how much there is.
func TestHostileText(t *testing.T) {
	t.Parallel()
	b := &book{}
	w, _ := watch(b)
	var notices []Notice
	for n := range 100 {
		notices = append(notices, Notice{ID: string(rune('a' + n)), What: reason.EvidenceMaintenance,
			Detail: hostile.Text + strings.Repeat("x", 10_000+n), Lasts: time.Hour})
	}
	w.passes(t, true, notices...)
	if len(b.on) != maxNotices {
		t.Errorf("%d pieces of evidence, want %d", len(b.on), maxNotices)
	}
	for _, e := range b.on {
		if found, is := hostile.Obeyed(e.Detail); is || len(e.Detail) > maxDetail {
			t.Errorf("%d bytes, of which a terminal obeys %q", len(e.Detail), found)
		}
	}
}

func TestFaultsOfTheWatcher(t *testing.T) {
	t.Parallel()
	w, _ := watch(&book{})
	outage := errors.New("connection refused")
	for range tolerated {
		if w.report("aws", "Amazon EC2", outage, nil); len(w.Faults()) > 0 || w.State().Silent {
			t.Fatalf("faults %v at once", w.Faults())
		}
	}
	w.report("aws", "Amazon EC2", outage, nil)
	want := "ask the metadata service of Amazon EC2: connection refused: the agent needs hostNetwork (or the instance a hop limit of 2), and nothing may keep it from the service; agent.cloud.enabled: false asks nobody"
	if all := w.Faults(); len(all) != 1 || fault.Of(all[0]).Code != fault.MetadataUnread ||
		all[0].Error() != want || !w.State().Silent {
		t.Errorf("faults %v", all)
	}
	for range 20 {
		w.report("aws", "Amazon EC2", outage, nil)
	}
	if d := w.wait(); d < 20*time.Second || d > 24*time.Second {
		t.Errorf("it waits %s", d)
	}
	w.report("aws", "Amazon EC2", nil, nil)
	if len(w.Faults()) > 0 || w.State().Silent {
		t.Errorf("faults %v of a service that answers", w.Faults())
	}
	if d := w.wait(); d < 3*time.Second || d > 4*time.Second {
		t.Errorf("it waits %s", d)
	}
}

func TestProviderOf(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"aws:///us-east-1a/i-0abc": "aws", "gce://project/zone/name": "gce",
		"azure:///subscriptions/s/resourceGroups/g": "azure", "kind://docker/kind/n": "", "aws": "aws",
		"openstack:///x": "",
	} {
		if got := providerOf(id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}
