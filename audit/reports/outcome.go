package reports

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/audit"
)

// An outcome is what became of one report.
type outcome string

const (
	// written: it was created or changed.
	written outcome = "written"
	// unchanged: it is right as it is, or none is needed.
	unchanged outcome = "unchanged"
	// removed: no finding is left.
	removed outcome = "removed"
	// foreign: somebody else's report has its name, and stays as it is.
	foreign outcome = "foreign"
	// namespaceGone: nothing can be created in a namespace that is being deleted.
	namespaceGone outcome = "namespace-gone"
	// notInstalled: the API server does not have the kind.
	notInstalled outcome = "not-installed"
	// refused: the right is missing, or somebody else's quota or policy forbids it.
	refused outcome = "refused"
	// conflict: somebody wrote it at the same time.
	conflict outcome = "conflict"
	// failed: the API server did not answer as it should, or making the report panicked.
	failed outcome = "failed"
)

// outcomes are all outcomes.
var outcomes = []outcome{written, unchanged, removed, foreign, namespaceGone, notInstalled, refused,
	conflict, failed}

// outcomeOf returns the outcome that an error of the API server means.
func outcomeOf(err error) outcome {
	switch {
	case kindMissing(err):
		return notInstalled
	case audit.NamespaceGone(err):
		return namespaceGone
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return conflict
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err),
		apierrors.IsRequestEntityTooLargeError(err):
		return refused
	default:
		return failed
	}
}

// kindMissing distinguishes a kind that is not served from an object that is not there: discovery
// does not know it, or, if it did once, no handler of the API server has written the answer.
func kindMissing(err error) bool {
	return meta.IsNoMatchError(err) ||
		apierrors.IsNotFound(err) && apierrors.HasStatusCause(err,
			metav1.CauseTypeUnexpectedServerResponse)
}
