package webhook

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit"
	"github.com/epitaph-k8s/epitaph/reason"
)

// oneRecord is of one owner.
type oneRecord v1alpha1.OwnerObituarySpec

func (oneRecord) Record(context.Context, v1alpha1.OwnerObituarySpec) error { return nil }

func (r oneRecord) Find(_ context.Context, _ reason.Kind, _, name string) (
	*v1alpha1.OwnerObituarySpec, error) {
	if r.Name != name {
		return nil, nil
	}
	s := v1alpha1.OwnerObituarySpec(r)
	return &s, nil
}

// Who scaled something is told only where nobody has changed it since.
func TestScaledBy(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	record := oneRecord{Kind: "Deployment", Name: "web", UID: "1", Did: "Scaled", To: 2, Generation: 7,
		Removed: metav1.NewTime(noon), Deleted: "Deployment web", DeletedBy: "carol"}
	for name, tt := range map[string]struct {
		record func(*oneRecord)
		scaled func(*scaled)
		want   string
	}{
		"certain":              {want: "carol scaled Deployment web to 2"},
		"another owner":        {scaled: func(s *scaled) { s.uid = "2" }},
		"another number":       {scaled: func(s *scaled) { s.to = 1 }},
		"it was changed since": {scaled: func(s *scaled) { s.generation = 8 }},
		"the write failed":     {scaled: func(s *scaled) { s.generation = 6 }},
		"long ago": {record: func(r *oneRecord) {
			r.Removed = metav1.NewTime(noon.Add(-2 * time.Hour))
		}},
		"it was deleted": {record: func(r *oneRecord) { r.Did, r.To = "", 0 }},
		"no record":      {record: func(r *oneRecord) { r.Name = "other" }},
	} {
		s := &scaled{kind: reason.DeploymentKind, name: "web", uid: "1", did: reason.Scales, to: 2,
			generation: 7}
		r := record
		if tt.record != nil {
			tt.record(&r)
		}
		if tt.scaled != nil {
			tt.scaled(s)
		}
		h := &Handler{owners: audit.NewOwnerEnds(r, nil,
			testingclock.NewFakePassiveClock(noon.Add(2*time.Minute)))}
		end, err := h.scaledBy(t.Context(), "batch", s)
		got := ""
		if end != nil {
			got = end.String()
		}
		if got != tt.want || err != nil {
			t.Errorf("%s: %q (%v), want %q", name, got, err, tt.want)
		}
	}
}
