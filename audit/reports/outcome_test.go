package reports

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// test/e2e shows the answers themselves; this shows how each is classified, even if it is wrapped.
func TestEveryAnswerHasOneOutcome(t *testing.T) {
	t.Parallel()
	reports := schema.GroupResource{Group: "openreports.io", Resource: "reports"}
	terminating := apierrors.NewForbidden(reports, Name, errors.New("is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{
		{Type: corev1.NamespaceTerminatingCause}}
	tests := map[string]struct {
		err  error
		want outcome
	}{
		"discovery does not know the kind": {
			&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "openreports.io",
				Kind: "Report"}}, notInstalled},
		"the definition was removed": {
			apierrors.NewGenericServerResponse(http.StatusNotFound, "get", reports, Name,
				"404 page not found", 0, true), notInstalled},
		"the namespace is going": {terminating, namespaceGone},
		"the namespace is gone": {
			apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "team"),
			namespaceGone},
		"somebody else wrote": {
			apierrors.NewConflict(reports, Name, errors.New("changed")), conflict},
		"somebody else created": {apierrors.NewAlreadyExists(reports, Name), conflict},
		"somebody else removed": {apierrors.NewNotFound(reports, Name), conflict},
		"no right, or a quota": {
			apierrors.NewForbidden(reports, Name, errors.New("no")), refused},
		"a definition of other fields": {
			apierrors.NewInvalid(schema.GroupKind{Group: "openreports.io", Kind: "Report"}, Name,
				nil), refused},
		"the API server has no time": {apierrors.NewTooManyRequests("later", 1), failed},
		"no answer at all":           {errors.New("connection refused"), failed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := outcomeOf(fmt.Errorf("write it: %w", tc.err)); got != tc.want {
				t.Errorf("the outcome is %s, want %s", got, tc.want)
			}
		})
	}
}
