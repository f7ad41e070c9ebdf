package owners

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// shelf has objects by namespace, kind and name; it counts how often each is read.
type shelf struct {
	client.Reader
	meta.RESTMapper
	objects   map[string]metav1.ObjectMeta
	forbidden bool
	reads     []string
}

func (s *shelf) RESTMapping(kind schema.GroupKind, _ ...string) (*meta.RESTMapping, error) {
	return &meta.RESTMapping{GroupVersionKind: kind.WithVersion("v1"),
		Scope: meta.RESTScopeNamespace}, nil
}

func (s *shelf) Get(_ context.Context, key client.ObjectKey, into client.Object,
	_ ...client.GetOption) error {
	kind := into.GetObjectKind().GroupVersionKind().Kind
	s.reads = append(s.reads, key.Namespace+"/"+kind+"/"+key.Name)
	found, ok := s.objects[key.Namespace+"/"+kind+"/"+key.Name]
	switch {
	case s.forbidden:
		return apierrors.NewForbidden(schema.GroupResource{Resource: kind}, key.Name, nil)
	case !ok:
		return apierrors.NewNotFound(schema.GroupResource{Resource: kind}, key.Name)
	}
	into.(*metav1.PartialObjectMetadata).ObjectMeta = found
	return nil
}

func by(kind, name, uid string) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: kind, Name: name,
		UID: types.UID(uid), Controller: ptr.To(true)}}
}

var fake = testingclock.NewFakePassiveClock(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))

func reader(s *shelf) *Reader { return NewReader(s, s, fake, logr.Discard()) }

func podIn(namespace string, owners []metav1.OwnerReference) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p",
		OwnerReferences: owners}}
}

func names(all []Owner) string {
	var list []string
	for _, o := range all {
		list = append(list, o.Kind.Kind+"/"+o.Ref.Name)
	}
	return strings.Join(list, " ")
}

func TestAboveGoesToTheTopOnce(t *testing.T) {
	t.Parallel()
	s := &shelf{objects: map[string]metav1.ObjectMeta{
		"a/Job/j":    {UID: "j", OwnerReferences: by("JobSet", "s", "s")},
		"a/JobSet/s": {UID: "s", OwnerReferences: by("TrainJob", "t", "t")},
	}}
	r := reader(s)
	for range 2 {
		if got := names(r.Above(t.Context(), podIn("a", by("Job", "j", "j")))); got !=
			"Job/j JobSet/s TrainJob/t" {
			t.Errorf("above the pod are %s", got)
		}
	}
	want := []string{"a/Job/j", "a/JobSet/s", "a/TrainJob/t", "a/TrainJob/t"} // it is not there
	if diff := cmp.Diff(want, s.reads); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAboveEnds(t *testing.T) {
	t.Parallel()
	s := &shelf{objects: map[string]metav1.ObjectMeta{
		"a/Job/j":   {UID: "j", OwnerReferences: by("Queue", "q", "q")},
		"a/Queue/q": {UID: "q", OwnerReferences: by("Job", "j", "j")},
	}}
	long := strings.Repeat("j", 300)
	for name, tc := range map[string]struct {
		owners []metav1.OwnerReference
		want   string
	}{
		"owners that own each other":  {by("Job", "j", "j"), "Job/j Queue/q"},
		"another one of the name":     {by("Job", "j", "of before"), "Job/j"},
		"no owner":                    {nil, ""},
		"a kind longer than any name": {by(long, "j", "j"), long + "/j"},
	} {
		if got := names(reader(s).Above(t.Context(), podIn("a", tc.owners))); got != tc.want {
			t.Errorf("%s: above the pod are %s, want %s", name, got, tc.want)
		}
	}
}

// However long a chain somebody makes, it is read up to a bound, and its metadata alone: the shelf
// has nothing else.
func TestAboveIsBounded(t *testing.T) {
	t.Parallel()
	s := &shelf{objects: map[string]metav1.ObjectMeta{}}
	for n := range 2 * MaxAbove {
		above := strconv.Itoa(n + 1)
		s.objects["a/Train/"+strconv.Itoa(n)] = metav1.ObjectMeta{UID: types.UID(strconv.Itoa(n)),
			OwnerReferences: by("Train", above, above)}
	}
	if all := reader(s).Above(t.Context(), podIn("a", by("Train", "0", "0"))); len(all) !=
		MaxAbove || len(s.reads) != MaxAbove {
		t.Errorf("%d owners were found and %d read, want %d", len(all), len(s.reads), MaxAbove)
	}
}

// A reference is anybody's word: what another tenant's led to must not be told for it.
func TestReferencesOfAnotherNamespace(t *testing.T) {
	t.Parallel()
	s := &shelf{objects: map[string]metav1.ObjectMeta{
		"a/Job/j": {UID: "j", OwnerReferences: by("JobSet", "secret", "s")}}}
	r := reader(s)
	r.Above(t.Context(), podIn("a", by("Job", "j", "j")))
	if got := names(r.Above(t.Context(), podIn("b", by("Job", "j", "j")))); got != "Job/j" {
		t.Errorf("above the pod of another namespace are %s", got)
	}
}

func TestForbiddenKindIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	clk := testingclock.NewFakePassiveClock(fake.Now())
	s := &shelf{forbidden: true}
	r := NewReader(s, s, clk, logr.Discard())
	look := func(want int) {
		t.Helper()
		r.Above(t.Context(), podIn("a", by("Job", "j", "j")))
		if len(s.reads) != want {
			t.Errorf("%d reads, want %d", len(s.reads), want)
		}
	}
	look(1)
	look(1)
	clk.SetTime(clk.Now().Add(ClosedFor + time.Second))
	look(2)
}
