package audit

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// clockProbe is the name of a record that is never stored.
const clockProbe = "epitaph-clock-probe"

// SharedNow returns the earlier of our time and the API server's: what is old by that is old by
// both. Records are deleted by age, and either clock may jump ahead. The API server's time is the
// creation time of an object, here in a dry run.
func SharedNow(ctx context.Context, ours clock.PassiveClock, api client.Writer) (time.Time, error) {
	probe := &v1alpha1.NodeObituary{
		ObjectMeta: metav1.ObjectMeta{Name: clockProbe},
		Spec: v1alpha1.NodeObituarySpec{
			NodeName: clockProbe, Removed: metav1.NewTime(ours.Now()),
			Code:  string(reason.Unexplained),
			Class: reason.NoExplanation.String(), Reason: "a dry run: it asks for the time",
		},
	}
	if err := api.Create(ctx, probe, client.DryRunAll); err != nil {
		return time.Time{}, fmt.Errorf("ask the API server for its time: %w", err)
	}
	theirs := probe.CreationTimestamp.Time
	if now := ours.Now(); now.Before(theirs) {
		return now, nil
	}
	return theirs, nil
}
