package page

import (
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/epitaph-k8s/epitaph/archive/ask"
)

var (
	errMissing = errors.New("there is no such page")
	errRefused = errors.New("the form cannot be read")
	errBusy    = errors.New("too many visitors at once")
	errUnread  = errors.New("the records have not been read yet")
	// errUnasked: the API server could not be asked about the visitor. If Epitaph may not ask, that
	// is not the visitor's fault.
	errUnasked = errors.New("the API server did not say who the visitor is or what they may read")
)

// An outcome is how a request ends, under the same name in code, metric and documentation.
type outcome struct {
	name   string
	status int
	says   string
}

var shown = outcome{"shown", http.StatusOK, ""}

// outcomeOf returns the outcome of a request that ended with err.
func outcomeOf(err error) outcome {
	switch {
	case err == nil:
		return shown
	case errors.Is(err, errAnonymous):
		return outcome{"anonymous", http.StatusUnauthorized,
			"The API server does not know this token, or it has expired."}
	case errors.Is(err, errBusy):
		return outcome{"busy", http.StatusServiceUnavailable,
			"Too many visitors at once. Try again in a moment."}
	case errors.Is(err, errUnread):
		return outcome{"unread", http.StatusServiceUnavailable,
			"Epitaph has just started, and still reads the records. Try again in a moment."}
	case errors.Is(err, errRefused):
		return outcome{"refused", http.StatusBadRequest,
			"What the form says cannot be read: a time is written like 24h or 30m, a class is disruption, routine or unexplained."}
	case ask.Status(err) == http.StatusUnauthorized:
		return outcome{"anonymous", http.StatusUnauthorized,
			"The API server does not know this token, or it has expired."}
	case ask.Status(err) == http.StatusForbidden:
		return outcome{"forbidden", http.StatusForbidden,
			"You have no right to read this of the archive: choose a namespace whose records you may list. For other clusters it takes the ClusterRole epitaph-archive-fleet."}
	case ask.Status(err) == http.StatusBadRequest:
		return outcome{"refused", http.StatusBadRequest,
			"The archive does not understand what the form says."}
	case ask.Status(err) == http.StatusServiceUnavailable:
		return outcome{"busy", http.StatusServiceUnavailable,
			"The archive is busy, or has just started. Try again in a moment."}
	case errors.Is(err, errMissing), apierrors.IsNotFound(err):
		return outcome{"missing", http.StatusNotFound,
			"There is nothing here: it never was on record, or its record has expired."}
	case apierrors.IsForbidden(err) && !errors.Is(err, errUnasked):
		return outcome{"forbidden", http.StatusForbidden,
			"You have no right to read this. The ClusterRole view, bound in a namespace, covers the records of its pods."}
	default:
		return outcome{"failed", http.StatusBadGateway,
			"The API server did not answer as it should. The log of Epitaph says more."}
	}
}
