package audit

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

var three = time.Date(2026, 5, 1, 15, 0, 0, 0, time.UTC)

// countedRecords are by name, and count how often they are read.
type countedRecords struct {
	held map[string]*v1alpha1.OwnerObituarySpec
	gate chan struct{}
	read atomic.Int32
}

func (*countedRecords) Record(context.Context, v1alpha1.OwnerObituarySpec) error { return nil }

func (r *countedRecords) Find(_ context.Context, _ reason.Kind, _, name string) (
	*v1alpha1.OwnerObituarySpec, error) {
	r.read.Add(1)
	if r.gate != nil {
		<-r.gate
	}
	return r.held[name], nil
}

// The pods of an owner share one read, also while it lasts; one that was in vain speaks of no other
// deed: another replica may have recorded that since.
func TestPodsOfAnOwnerShareOneRead(t *testing.T) {
	t.Parallel()
	records := &countedRecords{held: map[string]*v1alpha1.OwnerObituarySpec{},
		gate: make(chan struct{})}
	e := NewOwnerEnds(records, nil, testingclock.NewFakePassiveClock(three))
	scaled := Deed{Kind: reason.JobKind, Namespace: "batch", Name: "etl", UID: "1", Generation: 7}
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() {
			if end, err := e.Scaling(t.Context(), scaled); end != nil || err != nil {
				t.Errorf("it was scaled by %+v (%v)", end, err)
			}
		})
	}
	close(records.gate)
	waiting.Wait()
	// Who came after the first read was over has found its answer.
	if n := records.read.Load(); n != 1 {
		t.Errorf("%d reads of one record", n)
	}
	records.held["etl"] = &v1alpha1.OwnerObituarySpec{Name: "etl", UID: "1", Deleted: "Job etl",
		DeletedBy: "carol", Removed: metav1.NewTime(three)}
	end, err := e.Deletion(t.Context(), reason.JobKind, "batch", "etl", "1")
	if err != nil || end == nil || end.By != "carol" {
		t.Errorf("it was deleted by %+v (%v), want carol", end, err)
	}
}

// Whoever looked before a read had ended, and begins one after, is answered by that one.
func TestReadThatComesLateIsNone(t *testing.T) {
	t.Parallel()
	records := &countedRecords{held: map[string]*v1alpha1.OwnerObituarySpec{"etl": {Name: "etl"}}}
	e := NewOwnerEnds(records, nil, testingclock.NewFakePassiveClock(three))
	for range 2 {
		if s, err := e.read(t.Context(), Deed{Kind: reason.JobKind, Namespace: "batch",
			Name: "etl"}); err != nil || s == nil {
			t.Errorf("it is answered %+v (%v)", s, err)
		}
	}
	if n := records.read.Load(); n != 1 {
		t.Errorf("%d reads of one record", n)
	}
}

// Who does not wait for a read leaves it to the next.
func TestReadOutlivesItsReader(t *testing.T) {
	t.Parallel()
	records := &countedRecords{gate: make(chan struct{}),
		held: map[string]*v1alpha1.OwnerObituarySpec{"etl": {Name: "etl", UID: "1",
			DeletedBy: "carol", Removed: metav1.NewTime(three)}}}
	e := NewOwnerEnds(records, nil, testingclock.NewFakePassiveClock(three))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if end, err := e.Deletion(ctx, reason.JobKind, "batch", "etl", "1"); end != nil || err == nil {
		t.Errorf("it was deleted by %+v (%v), although nobody waits for that", end, err)
	}
	close(records.gate)
	end, err := e.Deletion(t.Context(), reason.JobKind, "batch", "etl", "1")
	if n := records.read.Load(); err != nil || end == nil || n != 1 {
		t.Errorf("after %d reads, it was deleted by %+v (%v)", n, end, err)
	}
}

// theOwner is the only object that is there, if it is.
type theOwner struct {
	client.Reader
	owner *metav1.ObjectMeta
}

func (o theOwner) Get(_ context.Context, key client.ObjectKey, into client.Object,
	_ ...client.GetOption) error {
	if o.owner == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "jobs"}, key.Name)
	}
	into.(*metav1.PartialObjectMetadata).ObjectMeta = *o.owner
	return nil
}

// What nobody saw is explained by a record only where it is certain.
func TestAddUnseen(t *testing.T) {
	t.Parallel()
	const grace = 30
	at := func(seconds int) metav1.Time {
		return metav1.NewTime(three.Add(time.Duration(seconds) * time.Second))
	}
	going := func(finalizers ...string) *metav1.ObjectMeta {
		return &metav1.ObjectMeta{UID: "1", DeletionTimestamp: ptr.To(at(0)),
			Finalizers: finalizers}
	}
	for name, tt := range map[string]struct {
		owner *metav1.ObjectMeta
		// began is when the pod's deletion did, in seconds after that of its owner.
		began     int
		namespace *metav1.Time
		age       time.Duration
		want      string
	}{
		"the owner is gone":                 {began: 1, want: "carol deleted Job etl"},
		"in the same second":                {want: "carol deleted Job etl"},
		"in the foreground":                 {owner: going("foregroundDeletion"), want: "carol deleted Job etl"},
		"another owner of the name":         {owner: &metav1.ObjectMeta{UID: "2"}, want: "carol deleted Job etl"},
		"the owner lives on":                {owner: &metav1.ObjectMeta{UID: "1"}},
		"something else keeps the owner":    {owner: going("example.com/held")},
		"the pod was deleted first":         {began: -2},
		"the record is of long ago":         {began: 1, age: 2 * time.Hour},
		"the namespace goes":                {namespace: ptr.To(at(0)), want: "dave deleted Namespace batch"},
		"the namespace goes, after the pod": {namespace: ptr.To(at(5)), want: "carol deleted Job etl"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := &countedRecords{held: map[string]*v1alpha1.OwnerObituarySpec{
				"etl": {Name: "etl", UID: "1", Deleted: "Job etl", DeletedBy: "carol",
					Removed: at(0)},
				"batch": {Name: "batch", UID: "n", Deleted: "Namespace batch", DeletedBy: "dave",
					Removed: at(0)}}}
			e := NewOwnerEnds(records, theOwner{owner: tt.owner},
				testingclock.NewFakePassiveClock(three.Add(tt.age)))
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "p",
				DeletionTimestamp:          ptr.To(at(tt.began + grace)),
				DeletionGracePeriodSeconds: ptr.To(int64(grace)),
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job",
					Name: "etl", UID: "1", Controller: ptr.To(true)}}}}
			f := reason.Facts{Pod: pod}
			ns := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "batch",
				UID: "n", DeletionTimestamp: tt.namespace}}
			err := e.AddUnseen(t.Context(), &f, ns)
			got := ""
			if f.OwnerEnd.By != "" {
				got = f.OwnerEnd.String()
			}
			if got != tt.want || err != nil ||
				f.Owner.Deleted != (got == "carol deleted Job etl") {
				t.Errorf("%q (%+v, %v), want %q", got, f.Owner, err, tt.want)
			}
		})
	}
}

func TestDeploymentOf(t *testing.T) {
	t.Parallel()
	const key = "pod-template-hash"
	for name, tt := range map[string]struct {
		set    string
		labels map[string]string
		want   string
	}{
		"by the label":           {"my-web-8559bc9f5c", map[string]string{key: "8559bc9f5c"}, "my-web"},
		"without labels":         {"my-web-8559bc9f5c", nil, "my-web"},
		"another label":          {"my-web-8559bc9f5c", map[string]string{key: "76c64b857"}, ""},
		"a name without a hash":  {"web-blue", nil, ""},
		"a name of one word":     {"web", nil, ""},
		"nothing before":         {"-8559bc9f5c", nil, ""},
		"nothing after":          {"web-", map[string]string{key: ""}, ""},
		"a label of another set": {"web-blue", map[string]string{key: "8559bc9f5c"}, ""},
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: tt.labels}}
		if got := deploymentOf(pod, tt.set); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
