package webhook

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/internal/owners"
	"github.com/epitaph-k8s/epitaph/reason"
)

// nobody is an API server without the kinds that are asked for; it counts what it is asked.
type nobody struct {
	meta.RESTMapper
	mappings, reads int
}

func (n *nobody) RESTMapping(kind schema.GroupKind, _ ...string) (*meta.RESTMapping, error) {
	n.mappings++
	return nil, &meta.NoKindMatchError{GroupKind: kind}
}

func (n *nobody) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	n.reads++
	return errors.New("nothing is here")
}

func (n *nobody) List(context.Context, client.ObjectList, ...client.ListOption) error {
	n.reads++
	return errors.New("nothing is here")
}

// Where the kinds are not installed, nobody is asked for an object, and for each kind once.
func TestObjectsOfKindsThatAreNotThere(t *testing.T) {
	t.Parallel()
	there := &nobody{}
	fake := testingclock.NewFakePassiveClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	o := newObjects(Options{Live: there, Mapper: there, Clock: fake, Log: logr.Discard()})
	inferrer := reason.Inferrer{OwnerSignals: reason.DefaultOwnerSignals()}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "batch", Name: "p", UID: "p1",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "ray.io/v1", Kind: "RayCluster",
			Name: "r", UID: "r1", Controller: ptr.To(true)}}}}
	look := func() {
		above := o.reader.Above(t.Context(), pod)
		if len(above) != 1 || above[0].Ref.UID != "r1" {
			t.Errorf("above the pod are %+v, want its controller alone", above)
		}
		if found := o.read(t.Context(), pod, above, inferrer.Deciders()); len(found) != 0 {
			t.Errorf("%d objects were found", len(found))
		}
	}
	look()
	once := there.mappings
	look()
	if there.reads != 0 || there.mappings != once || once == 0 {
		t.Errorf("%d objects were asked for, and kinds %d times, after %d: want none, and no more",
			there.reads, there.mappings, once)
	}
	fake.SetTime(fake.Now().Add(owners.ClosedFor + time.Second))
	look()
	if there.mappings == once {
		t.Error("a kind that may have come is not asked for again")
	}
}

// answers are what somebody may do, by verb and subresource; what is missing cannot be found out.
type answers map[string]bool

func (a answers) Create(_ context.Context, r *authorizationv1.SubjectAccessReview,
	_ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	what := r.Spec.ResourceAttributes
	allowed, known := a[what.Verb+" "+what.Subresource]
	if !known {
		return nil, errors.New("the API server does not answer")
	}
	r.Status.Allowed = allowed
	return r, nil
}

// trains are installed.
type trains struct{ meta.RESTMapper }

func (trains) RESTMapping(kind schema.GroupKind, _ ...string) (*meta.RESTMapping, error) {
	return &meta.RESTMapping{Resource: kind.WithVersion("v1").GroupVersion().WithResource("trains"),
		GroupVersionKind: kind.WithVersion("v1"), Scope: meta.RESTScopeNamespace}, nil
}

// served are the resources of each group; an API server that has none does not answer.
type served []string

func (s served) ServerResourcesForGroupVersionWithContext(_ context.Context,
	_ string) (*metav1.APIResourceList, error) {
	list := &metav1.APIResourceList{}
	for _, name := range s {
		list.APIResources = append(list.APIResources, metav1.APIResource{Name: name})
	}
	if len(s) == 0 {
		return list, errors.New("the API server does not answer")
	}
	return list, nil
}

func TestWritesStatus(t *testing.T) {
	t.Parallel()
	with := served{"trains", "trains/status"}
	writes := answers{"update status": true, "* ": false}
	for name, tt := range map[string]struct {
		may    answers
		served served
		want   bool
	}{
		"updates":        {writes, with, true},
		"patches":        {answers{"update status": false, "patch status": true, "* ": false}, with, true},
		"neither":        {answers{"update status": false, "patch status": false, "* ": false}, with, false},
		"is root":        {answers{"update status": true, "* ": true}, with, false},
		"no word":        {answers{}, with, false},
		"half":           {answers{"update status": true}, with, false},
		"no right":       {nil, with, false},
		"no subresource": {writes, served{"trains", "cars/status"}, false},
		"not served":     {writes, nil, false},
	} {
		o := newObjects(Options{Live: &nobody{}, Mapper: trains{}, Reviews: tt.may,
			Served: tt.served, Clock: clock.RealClock{}, Log: logr.Discard()})
		got := o.writesStatus(t.Context(), reason.Remover{User: "system:serviceaccount:a:b"}, "a",
			schema.GroupKind{Group: "example.com", Kind: "Train"})
		if got != tt.want {
			t.Errorf("%s: writesStatus = %t, want %t", name, got, tt.want)
		}
	}
}

func TestOfKubernetes(t *testing.T) {
	t.Parallel()
	for group, want := range map[string]bool{"": true, "apps": true, "batch": true,
		"policy.k8s.io": true, "jobset.x-k8s.io": false, "ray.io": false,
		"batch.volcano.sh": false} {
		if got := ofKubernetes(schema.GroupKind{Group: group, Kind: "Job"}); got != want {
			t.Errorf("ofKubernetes(%q) = %t, want %t", group, got, want)
		}
	}
}
