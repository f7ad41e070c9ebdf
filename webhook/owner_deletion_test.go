package webhook

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// slowRecords are read once they are open.
type slowRecords struct {
	oneRecord
	open chan struct{}
}

func (r slowRecords) Find(ctx context.Context, kind reason.Kind, namespace, name string) (
	*v1alpha1.OwnerObituarySpec, error) {
	<-r.open
	return r.oneRecord.Find(ctx, kind, namespace, name)
}

// Where the API server takes longer to say who deleted the owner than an answer may take, the name
// is in the reason all the same.
func TestWhoDeletedTheOwnerIsKnownLate(t *testing.T) {
	t.Parallel()
	const collector = "system:serviceaccount:kube-system:generic-garbage-collector"
	const named = "trainer-0: This pod was removed because its owner was deleted " +
		"(carol deleted Job etl)"
	owned := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job",
			Name: "etl", UID: "j1", Controller: ptr.To(true)}}
	}
	for name, tt := range map[string]struct {
		// write has the reason written, after the answer.
		write func(*testing.T, *Handler)
	}{
		"when the pod terminates": {write: func(t *testing.T, h *Handler) {
			_, err := h.PromisedReasons().Reconcile(t.Context(), reconcile.Request{
				NamespacedName: client.ObjectKeyFromObject(aPod())})
			if err != nil {
				t.Error(err)
			}
		}},
		"at the final DELETE": {write: func(t *testing.T, h *Handler) {
			final := deleteOf(t, aTerminating(withGrace(30), owned), "system:node:n1",
				"system:nodes")
			final.Request.Options.Raw = []byte(`{"gracePeriodSeconds":0}`)
			ask(t, h, final)
		}},
		"when the process ends": {write: func(t *testing.T, h *Handler) {
			h.PromisedReasons().writeAll(t.Context())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, h, records, clk := lateWorld(t)
			ask(t, h, deleteOf(t, aPod(withGrace(30), owned), collector))
			if close(records.open); w.written != nil {
				t.Fatalf("wrote %q before the pod terminates", w.written)
			}
			w.cached = aTerminating(withGrace(30), owned)
			w.live = w.cached
			// Then it can be known at once.
			if _, err := h.owners.OfPod(t.Context(), w.cached); err != nil {
				t.Fatal(err)
			}
			clk.SetTime(now.Add(patience))
			tt.write(t, h)
			if diff := cmp.Diff([]string{named}, w.written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("before the answer", func(t *testing.T) {
		t.Parallel()
		var written []string
		// A machine that is busy may be late itself.
		for range 5 {
			w, h, records, _ := lateWorld(t)
			time.AfterFunc(ownerEndTimeout+50*time.Millisecond, func() { close(records.open) })
			ask(t, h, deleteOf(t, aPod(withGrace(0), owned), collector))
			if written = w.written; slices.Equal(written, []string{named}) {
				return
			}
		}
		t.Errorf("written %q, want %q", written, named)
	})
}

// lateWorld has a pod whose Job carol has deleted, and an API server that says so late.
func lateWorld(t *testing.T) (*terminatingWorld, *Handler, slowRecords,
	*testingclock.FakePassiveClock) {
	t.Helper()
	clk := testingclock.NewFakePassiveClock(now)
	w := &terminatingWorld{world: world{node: aNode()}}
	records := slowRecords{oneRecord{APIVersion: "batch/v1", Kind: "Job", Name: "etl",
		UID: "j1", Removed: metav1.NewTime(now), Deleted: "Job etl", DeletedBy: "carol"},
		make(chan struct{})}
	c := config.Default()
	h, err := New(Options{
		Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(),
		Reader: w.reader(&w.cached), Live: w.reader(&w.live), Obituaries: w, Writer: w,
		Owners: audit.NewOwnerEnds(records, nil, clk), Clock: clk,
		Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, h, records, clk
}
