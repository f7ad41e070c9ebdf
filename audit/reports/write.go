package reports

import (
	"context"
	"fmt"

	"github.com/openreports/reports-api/apis/openreports.io/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// update brings the report of a namespace, or of the cluster, up to date. It first checks that it
// may write the report at all: findings are read only then.
func (r *Reports) update(ctx context.Context, namespace string) (outcome, error) {
	held := r.api.empty(namespace)
	err := r.API.Get(ctx, client.ObjectKeyFromObject(held), held)
	there := err == nil
	switch {
	case there && !isOurs(held):
		return foreign, nil
	case err != nil && (!apierrors.IsNotFound(err) || kindMissing(err)):
		return r.ended(namespace, "read", err)
	}
	wanted, err := r.picture(ctx, namespace)
	switch {
	case err != nil:
		return r.ended(namespace, "make", err)
	case len(wanted.Results) == 0 && there:
		return r.remove(ctx, held)
	case len(wanted.Results) == 0:
		return unchanged, nil
	}
	return r.write(ctx, held, there, wanted)
}

func (r *Reports) write(ctx context.Context, held *unstructured.Unstructured, there bool,
	wanted *v1alpha1.Report) (outcome, error) {
	body, err := r.api.body(wanted)
	if err != nil {
		return failed, err
	}
	namespace := held.GetNamespace()
	if !there {
		created := r.api.empty(namespace)
		created.SetLabels(map[string]string{OwnerLabel: owner})
		fill(created, body)
		return r.ended(namespace, "create", r.API.Create(ctx, created))
	}
	if !fill(held, body) {
		return unchanged, nil
	}
	// held has the revision that was read.
	return r.ended(namespace, "update", r.API.Update(ctx, held))
}

func (r *Reports) remove(ctx context.Context, held *unstructured.Unstructured) (outcome, error) {
	err := r.API.Delete(ctx, held, client.Preconditions{UID: ptr.To(held.GetUID()),
		ResourceVersion: ptr.To(held.GetResourceVersion())})
	if err != nil {
		return r.ended(held.GetNamespace(), "remove", err)
	}
	return removed, nil
}

// ended returns the outcome of a report from the error of the last step.
func (r *Reports) ended(namespace, what string, err error) (outcome, error) {
	if err == nil {
		return written, nil
	}
	return outcomeOf(err), fmt.Errorf("%s %s %s/%s: %w", what, r.api.kind(namespace).Kind,
		namespace, Name, err)
}
