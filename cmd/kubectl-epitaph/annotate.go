package main

import (
	"context"
	"encoding/json"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
)

// annotate sets annotations of exactly this object: the API server refuses a patch with another
// UID.
func (d deletion) annotate(ctx context.Context, o chosen, is *metav1.PartialObjectMetadata,
	annotations map[string]*string) error {
	patch, err := json.Marshal(
		map[string]any{"metadata": map[string]any{"uid": is.UID, "annotations": annotations}})
	if err != nil {
		return fmt.Errorf("write the patch of %s: %w", o, err)
	}
	var options []client.PatchOption
	if d.trial {
		options = append(options, client.DryRunAll)
	}
	// The answer goes into a copy, so that the object stays as it was read.
	if err := d.Patch(ctx, is.DeepCopy(), client.RawPatch(types.MergePatchType, patch),
		options...); err != nil {
		return fmt.Errorf("annotate %s: %w", o, err)
	}
	return nil
}

// whoAmI returns the user name by which the API server knows the caller.
func whoAmI(ctx context.Context, c *cluster.Cluster) (string, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.Create(ctx, review); err != nil {
		return "", fmt.Errorf("ask the API server for our own name: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}
