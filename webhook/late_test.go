package webhook

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/config"
)

// slowAPI answers once it is open.
type slowAPI struct {
	client.Reader
	open chan struct{}
}

func (s slowAPI) Get(ctx context.Context, key client.ObjectKey, o client.Object,
	opts ...client.GetOption) error {
	select {
	case <-s.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	switch o := o.(type) {
	case *batchv1.Job:
		o.UID, o.Spec.Suspend = "j1", ptr.To(true)
	case *resourcev1.ResourceClaim:
		o.Status.Allocation = &resourcev1.AllocationResult{
			Devices: resourcev1.DeviceAllocationResult{
				Results: []resourcev1.DeviceRequestAllocationResult{{
					Driver: "d", Pool: "pool", Device: "gpu-0"}}}}
	default:
		return s.Reader.Get(ctx, key, o, opts...)
	}
	return nil
}

func (slowAPI) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if l, ok := list.(*resourcev1.ResourceSliceList); ok {
		l.Items = []resourcev1.ResourceSlice{aSlice(ptr.To("n1"), 1, "gpu-0", evicting("bad", "x"))}
	}
	return nil
}

// Where the API server takes longer to say what a pod's end follows from than an answer may take,
// the reason has it all the same, unless it takes too long for that, too.
func TestWhatIsKnownLateIsInTheReason(t *testing.T) {
	t.Parallel()
	const system = "system:serviceaccount:kube-system:"
	ofJob := func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job",
			Name: "etl", UID: "j1", Controller: ptr.To(true)}}
	}
	withDevice := func(p *corev1.Pod) {
		p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu",
			ResourceClaimName: ptr.To("gpu")}}
	}
	for name, tt := range map[string]struct {
		user   string
		change func(*corev1.Pod)
		// What is written if the API server answers, and if it does not.
		known, not string
	}{
		"the owner": {user: system + "job-controller", change: ofJob,
			known: "This pod was removed because its job was suspended (Job etl)",
			not:   "This pod was removed by the controller of its owner (Job etl)"},
		"the device": {user: system + "device-taint-eviction-controller", change: withDevice,
			known: "This pod had to be terminated because the underlying hardware failed (device gpu-0 of d is tainted bad=x)",
			not:   "This pod had to be terminated because the underlying hardware failed (device taint)"},
	} {
		for answers, want := range map[bool]string{true: tt.known, false: tt.not} {
			t.Run(fmt.Sprintf("%s, answered %t", name, answers), func(t *testing.T) {
				t.Parallel()
				clk := testingclock.NewFakePassiveClock(now)
				w := &terminatingWorld{world: world{node: aNode()}}
				api := slowAPI{w.reader(&w.live), make(chan struct{})}
				c := config.Default()
				h, err := New(Options{
					Config: c.Webhook, OwnNamespace: c.Namespace, Inferrer: c.Inferrer(),
					Reader: w.reader(&w.cached), Live: api, Obituaries: w, Writer: w, Clock: clk,
					Registerer: prometheus.NewRegistry(),
				})
				if err != nil {
					t.Fatal(err)
				}
				ask(t, h, deleteOf(t, aPod(withGrace(30), tt.change), tt.user))
				if w.written != nil {
					t.Fatalf("wrote %q before the pod terminates", w.written)
				}
				w.cached = aTerminating(withGrace(30), tt.change)
				w.live = w.cached
				write := func() reconcile.Result {
					again, err := h.PromisedReasons().Reconcile(t.Context(), reconcile.Request{
						NamespacedName: client.ObjectKeyFromObject(w.cached)})
					if err != nil {
						t.Error(err)
					}
					return again
				}
				clk.SetTime(now.Add(patience))
				if again := write(); again.RequeueAfter != lateAgain || w.written != nil {
					t.Errorf("wrote %q, again %v, while there was time", w.written, again)
				}
				if answers {
					close(api.open)
				} else {
					clk.SetTime(now.Add(lateFor))
				}
				write()
				if diff := cmp.Diff([]string{"trainer-0: " + want}, w.written); diff != "" {
					t.Errorf("written (-want +got):\n%s", diff)
				}
			})
		}
	}
}
