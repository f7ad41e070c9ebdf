package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/audit/obituary"
	"github.com/epitaph-k8s/epitaph/reason"
)

// newAmendment notes that a reason was supplied after the fact.
func newAmendment(at time.Time, source, was string) *v1alpha1.Amendment {
	return &v1alpha1.Amendment{At: metav1.NewTime(at.Truncate(time.Second)),
		From: reason.CleanTo(source, maxCodeBytes), Was: was}
}

// wasBefore returns the code that a record had before anything was supplied from the source: a
// source that is asked again may say more.
func wasBefore(a *v1alpha1.Amendment, source, code string) string {
	if a != nil && a.From == reason.CleanTo(source, maxCodeBytes) {
		return a.Was
	}
	return code
}

// PodObituaries amends the records of pods, and by design can do nothing else with them.
type PodObituaries struct {
	Writer client.Writer
	Clock  clock.PassiveClock
}

// Amend adds a reason that became known after the record was written. It returns a conflict if
// anybody has changed the record since it was read, and no error if the record has expired.
func (p PodObituaries) Amend(ctx context.Context, o *v1alpha1.PodObituary, r reason.Reason, source,
	nodeObituary string) error {
	amended := o.DeepCopy()
	amended.Spec.Amended = newAmendment(p.Clock.Now(), source,
		wasBefore(o.Spec.Amended, source, o.Spec.Code))
	amended.Spec.Code, amended.Spec.Class = obituary.CodeOf(r),
		reason.Code(obituary.CodeOf(r)).Class().String()
	amended.Spec.Reason, amended.Spec.By = string(reason.Clean(string(r.Text))),
		reason.CleanTo(r.By, reason.MaxByBytes)
	amended.Spec.NodeObituary = nodeObituary
	if p := amended.Spec.Preemption; p != nil {
		if p.Supposed = r.Supposed; !r.Supposed && !r.LacksPreemptor() {
			amended.Spec.Preemption = nil
		}
	}
	obituary.Judge(amended)
	err := p.Writer.Patch(ctx, amended, client.MergeFromWithOptions(o,
		client.MergeFromWithOptimisticLock{}))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("amend the obituary of pod %s/%s: %w", o.Namespace, o.Spec.PodName, err)
	}
	return nil
}

// NamespaceGone reports whether nothing could be created because the namespace is being deleted, or
// is gone.
func NamespaceGone(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && apierrors.IsNotFound(err) && status.ErrStatus.Details != nil &&
		status.ErrStatus.Details.Kind == "namespaces"
}
