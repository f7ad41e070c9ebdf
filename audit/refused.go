package audit

import (
	"context"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// Refused reports whether a write can never succeed as it is: the API server calls it invalid or
// too large, or somebody else's quota or policy forbids it. To repeat it unchanged would hold up
// whatever waits for it.
func Refused(err error) bool {
	return apierrors.IsForbidden(err) && !RightWithheld(err) || apierrors.IsInvalid(err) ||
		apierrors.IsBadRequest(err) ||
		apierrors.IsRequestEntityTooLargeError(err)
}

// RightWithheld reports whether RBAC refuses, not a quota or policy: the words are from
// k8s.io/apiserver (pkg/endpoints/handlers/responsewriters/errors.go, v0.37). An API server that
// has just started refuses like this until it has read the roles, and an operator may grant the
// right later: nothing may be lost by it.
func RightWithheld(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), `" cannot `) &&
		strings.Contains(err.Error(), ` resource "`)
}

// NotInstalled reports whether the API server does not have the kind of what was to be created.
func NotInstalled(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

// create writes a record. If it is refused, it is written without what its Node had said of itself.
// If that is refused too, the loss is reported, and the deletion that waits for the record goes on:
// the reason is on the Node.
func (o *NodeObituaries) create(ctx context.Context,
	record *v1alpha1.NodeObituary) (created bool, err error) {
	err = o.Writer.Create(ctx, record)
	became := nodeWritten
	if Refused(err) {
		logr.FromContextOrDiscard(ctx).Error(err,
			"record refused, tried without details", "node", record.Spec.NodeName)
		*record, became = *bare(record), nodeReduced
		err = o.Writer.Create(ctx, record)
	}
	switch {
	case err == nil:
		o.Findings.count(became)
		return true, nil
	case Refused(err), NotInstalled(err):
		o.lost(ctx, record, err)
		return false, nil
	default:
		return false, err
	}
}

// patch changes a record. A refused change is reported, and not repeated: the record keeps what it
// said.
func (o *NodeObituaries) patch(ctx context.Context, record *v1alpha1.NodeObituary,
	change client.Patch) error {
	err := o.Writer.Patch(ctx, record, change)
	if Refused(err) {
		o.lost(ctx, record, err)
		return nil
	}
	return err
}

// lost reports that something could not be recorded.
func (o *NodeObituaries) lost(ctx context.Context, record *v1alpha1.NodeObituary, err error) {
	became := nodeRefused
	if NotInstalled(err) {
		became = nodeNotInstalled
	}
	logr.FromContextOrDiscard(ctx).Error(err, "node not recorded", "node", record.Spec.NodeName,
		"code", record.Spec.Code)
	o.Findings.count(became)
	o.Findings.tell(record, EventNodeUnrecorded,
		"The end of node "+record.Spec.NodeName+" could not be recorded ("+record.Spec.Reason+"): "+
			err.Error())
}

// tell emits an Event about the Node of a record.
func (f *NodeFindings) tell(o *v1alpha1.NodeObituary, event, text string) {
	if f == nil {
		return
	}
	about := &corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: o.Spec.NodeName,
		UID: o.Spec.NodeUID}
	f.events.Eventf(about, nil, corev1.EventTypeWarning, event,
		"RecordObituary", "%s", reason.CleanTo(text, MaxNoteBytes))
}
