package page

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/internal/access"
)

// rights says what one visitor may read.
type rights struct {
	reviews *access.Reviews // of all visitors
	user    authenticationv1.UserInfo
}

// may reports whether the visitor has the right a; without a namespace, in all namespaces.
func (r *rights) may(ctx context.Context, a authorizationv1.ResourceAttributes) (bool, error) {
	allowed, err := r.reviews.Allowed(ctx, r.user, a)
	if err != nil {
		return false, fmt.Errorf("%w: %w", errUnasked, err)
	}
	return allowed, nil
}

// listPods is the right to list the records of pods.
func listPods(namespace string) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Verb: "list", Group: v1alpha1.GroupVersion.Group,
		Resource: "podobituaries", Namespace: namespace}
}

// listNodes is the right to list the records of nodes.
func listNodes() authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Verb: "list", Group: v1alpha1.GroupVersion.Group,
		Resource: "nodeobituaries"}
}
