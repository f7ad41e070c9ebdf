package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A deletion gives objects a reason and deletes them.
type deletion struct {
	*cluster.Cluster
	reason    reason.Reason
	key       string // the annotation of the reason, if the cluster has one of its own
	overwrite bool
	trial     bool // a dry run at the API server
	options   []client.DeleteOption
}

// run gives one object its reason and deletes that very object.
func (d deletion) run(ctx context.Context, o chosen) (gone *metav1.PartialObjectMetadata,
	err error) {
	is, err := d.find(ctx, o)
	if err != nil {
		return nil, err
	}
	uid := is.UID
	options := append(d.options, client.Preconditions{UID: &uid})
	if o.mapping.GroupVersionKind.GroupKind() == reason.DeploymentKind {
		// A Deployment's controller copies its annotations onto its ReplicaSets and never takes
		// them off there (K8s v1.37 pkg/controller/deployment/util, SetNewReplicaSetAnnotations):
		// what would be refused must not get that far.
		err := d.Delete(ctx, is.DeepCopy(), append(options, client.DryRunAll)...)
		if err != nil && !lacksReason(err) {
			return nil, fmt.Errorf("delete %s: %w", o, err)
		}
	}
	before := d.held(o, is)
	if err := d.annotate(ctx, o, is, d.annotations(o, d.reason)); err != nil {
		return nil, err
	}
	err = d.Delete(ctx, is.DeepCopy(), options...)
	if err == nil || apierrors.IsNotFound(err) || d.trial && lacksReason(err) {
		return is, nil
	}
	err = fmt.Errorf("delete %s: %w", o, err)
	if d.trial {
		return nil, err
	}
	if undo := d.annotate(ctx, o, is, before); undo != nil && !replaced(undo) {
		return nil, fmt.Errorf("%w. It still carries the reason that was to go with it: %w", err,
			undo)
	}
	return nil, err
}

// lacksReason reports whether Epitaph itself refused a dry run. The reason of a dry run is not on
// the object, so it is refused where a reason is required, as the deletion will not be.
func lacksReason(err error) bool {
	return strings.HasPrefix(err.Error(), "admission webhook ") &&
		strings.Contains(err.Error(), `.epitaph-k8s.io" denied the request: `)
}

// find returns the object, if it may be given a reason.
func (d deletion) find(ctx context.Context, o chosen) (*metav1.PartialObjectMetadata, error) {
	is := o.metadata()
	err := d.Get(ctx, o.key, is)
	switch held := is.Annotations[d.keysOf(o).Reason]; {
	case err != nil:
		return nil, notThere(ctx, d.Cluster, o, err)
	case is.DeletionTimestamp != nil:
		return nil, fmt.Errorf("%s is being deleted already", o)
	case d.keysOf(o).Has(is.Annotations) && held != string(d.reason.Text) && !d.overwrite:
		return nil, fmt.Errorf(
			"%s carries a reason already: %q; --overwrite replaces it, kubectl delete keeps it",
			o, terminal.Clean(held))
	}
	is.SetGroupVersionKind(o.mapping.GroupVersionKind)
	return is, nil
}

// keysOf returns the keys to write. If the cluster has keys of its own, only that of the reason is
// known here; the webhook completes the others.
func (d deletion) keysOf(o chosen) reason.Keys {
	if d.key != "" {
		return reason.Keys{Reason: d.key}
	}
	return reason.DefaultKeys().Of(o.subject())
}

// annotations returns those of r.
func (d deletion) annotations(o chosen, r reason.Reason) map[string]*string {
	all := map[string]*string{}
	for key, value := range d.keysOf(o).Annotations(r) {
		all[key] = &value
	}
	return all
}

// held returns the present values of a reason's annotations; nil removes one.
func (d deletion) held(o chosen, is metav1.Object) map[string]*string {
	all := d.annotations(o, reason.Reason{})
	for key := range all {
		all[key] = nil
		if value, ok := is.GetAnnotations()[key]; ok {
			all[key] = &value
		}
	}
	return all
}

// replaced reports whether the object is gone, even if another has its name.
func replaced(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsInvalid(err) || apierrors.IsConflict(err)
}

// answered reports whether an error is the API server's answer.
func answered(err error) bool { return apierrors.ReasonForError(err) != metav1.StatusReasonUnknown }

// untilGone is how often it is asked whether an object is gone.
const untilGone = time.Second / 2

// wait returns when an object is gone. Who may not read it any more does not wait, as in kubectl.
func (d deletion) wait(ctx context.Context, o chosen, uid types.UID) error {
	_, limited := ctx.Deadline()
	err := wait.PollUntilContextCancel(ctx, untilGone, true,
		func(ctx context.Context) (bool, error) {
			is := o.metadata()
			err := d.Get(ctx, o.key, is)
			switch {
			case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
				return true, nil
			case err != nil && limited && !answered(err):
				return false, nil // client-go does not ask what would be answered too late
			}
			return err == nil && is.UID != uid, err
		})
	if err != nil && errors.Is(context.Cause(ctx), errTooLong) {
		return fmt.Errorf("%s is still there after --timeout", o)
	}
	if err != nil {
		return fmt.Errorf("wait for the end of %s: %w", o, err)
	}
	return nil
}
