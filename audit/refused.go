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

// Refused tells whether a write can never succeed as it is: the API server calls it invalid or too
// large, or a quota or a policy of somebody else's forbids it. To repeat it unchanged would hold up
// whatever waits for it.
func Refused(err error) bool {
	return apierrors.IsForbidden(err) && !RightWithheld(err) || apierrors.IsInvalid(err) ||
		apierrors.IsBadRequest(err) ||
		apierrors.IsRequestEntityTooLargeError(err)
}

// RightWithheld tells whether it is RBAC that refuses, and no quota or policy: the words are
// k8s.io/apiserver's (pkg/endpoints/handlers/responsewriters/errors.go, v0.37). An API server that
// has just started refuses so until it has read the roles, and an operator may give the right
// later: nothing may be lost by it.
func RightWithheld(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), `" cannot `) &&
		strings.Contains(err.Error(), ` resource "`)
}

// NotInstalled tells whether the API server does not know the kind of what was to be created.
func NotInstalled(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

// create writes a record. One that is refused is written without what its Node had said of itself;
// where that is refused too, the loss is told, and the deletion that waits for the record goes on:
// the reason stands on the Node.
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

// patch changes a record. A change that is refused is told, and not repeated: what the record had
// said, it says still.
func (o *NodeObituaries) patch(ctx context.Context, record *v1alpha1.NodeObituary,
	change client.Patch) error {
	err := o.Writer.Patch(ctx, record, change)
	if Refused(err) {
		o.lost(ctx, record, err)
		return nil
	}
	return err
}

// lost tells that something could not be recorded.
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
