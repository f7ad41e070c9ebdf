package main

import (
	"context"
	"encoding/json"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// annotate sets annotations of that very object: the API server refuses a patch that names another
// UID.
func (d deletion) annotate(ctx context.Context, o client.Object,
	annotations map[string]*string) error {
	patch, err := json.Marshal(
		map[string]any{"metadata": map[string]any{"uid": o.GetUID(),
			"annotations": annotations}})
	if err != nil {
		return fmt.Errorf("write the patch of %s %s: %w", d.target.kind, d.target.name, err)
	}
	// The answer goes into a copy: what was read stays the object that is meant.
	if err := d.Patch(ctx, o.DeepCopyObject().(client.Object),
		client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("annotate %s %s: %w", d.target.kind, d.target.name, err)
	}
	return nil
}

// whoAmI is the user name by which the API server knows the caller.
func (d deletion) whoAmI(ctx context.Context) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := d.Create(ctx, review); err != nil {
		return "", fmt.Errorf("ask the API server for our own name: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
