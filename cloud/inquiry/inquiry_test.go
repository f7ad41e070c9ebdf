package inquiry

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

// A cloud answers as it is told, and counts how often it was asked.
type cloud struct {
	says  v1alpha1.CloudAnswer
	err   error
	hangs bool
	asked int
}

func (*cloud) Cloud() string { return "aws" }

func (c *cloud) Ask(ctx context.Context, _ explain.Instance) (v1alpha1.CloudAnswer, error) {
	c.asked++
	if c.hangs {
		<-ctx.Done()
		return v1alpha1.CloudAnswer{}, ctx.Err()
	}
	return c.says, c.err
}

// records hold one record, whose status is written.
type records struct {
	client.Reader
	client.SubResourceWriter
	record *v1alpha1.NodeObituary
	err    error
}

func (r *records) Get(_ context.Context, _ types.NamespacedName, o client.Object,
	_ ...client.GetOption) error {
	r.record.DeepCopyInto(o.(*v1alpha1.NodeObituary))
	return nil
}

func (r *records) Patch(_ context.Context, o client.Object, _ client.Patch,
	_ ...client.SubResourcePatchOption) error {
	if r.err == nil {
		r.record.Status = *o.(*v1alpha1.NodeObituary).Status.DeepCopy()
	}
	return r.err
}

type scene struct {
	*Inquiry
	cloud   *cloud
	records *records
	clock   *clocktesting.FakeClock
}

func aScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{cloud: &cloud{}, records: &records{record: aRecord()},
		clock: clocktesting.NewFakeClock(left.Add(10 * time.Second))}
	var err error
	s.Inquiry, err = New(Options{Askers: []explain.Asker{s.cloud}, Live: s.records, Status: s.records,
		Timeout: 20 * time.Millisecond, PerSecond: 1000, Clock: s.clock,
		Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) look(t *testing.T) time.Duration {
	t.Helper()
	result, err := s.Reconcile(t.Context(), reconcile.Request{})
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

func TestAnswerIsWrittenOnce(t *testing.T) {
	t.Parallel()
	s := aScene(t)
	s.cloud.says.What = "spot-interruption"
	if again := s.look(t); again != 0 {
		t.Errorf("it is asked again in %s", again)
	}
	s.clock.Step(time.Hour)
	s.look(t)
	if c := s.records.record.Status.Cloud; s.cloud.asked != 1 || c == nil || c.Cloud != "aws" ||
		c.What != "spot-interruption" || !c.Asked.Time.Equal(left.Add(10*time.Second)) {
		t.Errorf("asked %d times, and wrote %+v", s.cloud.asked, c)
	}
}

// What is known so far is written; less that comes later does not replace it.
func TestNotYet(t *testing.T) {
	t.Parallel()
	s := aScene(t)
	s.cloud.says, s.cloud.err = v1alpha1.CloudAnswer{What: "terminated"}, explain.ErrNotYet
	for _, want := range []time.Duration{50 * time.Second, 4 * time.Minute, 15 * time.Minute, 0} {
		again := s.look(t)
		if again != want {
			t.Fatalf("after %d questions it waits for %s, want %s", s.cloud.asked, again, want)
		}
		s.clock.Step(again)
		s.cloud.says.What = ""
	}
	if c := s.records.record.Status.Cloud; s.cloud.asked != 4 || c.What != "terminated" {
		t.Errorf("asked %d times, and wrote %+v", s.cloud.asked, c)
	}
}

func TestThrottledThenAnswered(t *testing.T) {
	t.Parallel()
	s := aScene(t)
	s.cloud.err = &explain.WaitError{Wait: 30 * time.Second, Err: errors.New("RequestLimitExceeded")}
	if again := s.look(t); again != 30*time.Second || s.records.record.Status.Cloud != nil {
		t.Errorf("it waits for %s, and wrote %+v", again, s.records.record.Status.Cloud)
	}
	s.clock.Step(10 * time.Second)
	if again := s.look(t); again != 20*time.Second || s.cloud.asked != 1 {
		t.Errorf("it waits for %s, asked %d times", again, s.cloud.asked)
	}
	s.clock.Step(20 * time.Second)
	s.cloud.says.What, s.cloud.err = "host-failure", nil
	if s.look(t); s.records.record.Status.Cloud.What != "host-failure" {
		t.Errorf("it wrote %+v", s.records.record.Status.Cloud)
	}
}

// A cloud that hangs is left after the timeout, and that is on record.
func TestHangs(t *testing.T) {
	t.Parallel()
	s := aScene(t)
	s.cloud.hangs = true
	again := s.look(t)
	if c := s.records.record.Status.Cloud; again != 50*time.Second || c.What != "" ||
		len(c.Unanswered) != 1 || c.Unanswered[0] != "context deadline exceeded" {
		t.Errorf("it waits for %s, and wrote %+v", again, c)
	}
}

// An answer that could not be written is asked for anew.
func TestConflict(t *testing.T) {
	t.Parallel()
	s := aScene(t)
	s.cloud.says.What, s.records.err = "scale-in", errors.New("conflict")
	if _, err := s.Reconcile(t.Context(), reconcile.Request{}); err == nil {
		t.Error("there is no error")
	}
	s.records.err = nil
	if s.look(t); s.records.record.Status.Cloud == nil {
		t.Error("nothing was written")
	}
}

func TestConcerns(t *testing.T) {
	t.Parallel()
	s := aScene(t)
	other, late := aRecord(), aRecord()
	other.Spec.ProviderID = "gce://p/z/i"
	late.Spec.Removed = metav1.NewTime(left.Add(-48 * time.Hour))
	for name, tt := range map[string]struct {
		record *v1alpha1.NodeObituary
		want   bool
	}{"ours": {aRecord(), true}, "of a cloud that is not asked": {other, false}, "too old": {late, false}} {
		if got := s.concerns(tt.record); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
