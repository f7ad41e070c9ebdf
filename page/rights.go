package page

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// An Authorizer asks the API server what somebody may do.
type Authorizer interface {
	Create(context.Context, *authorizationv1.SubjectAccessReview,
		metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
}

// rights answers what one visitor may read.
type rights struct {
	reviews Authorizer
	known   *cache.LRUExpireCache // of all visitors
	user    authenticationv1.UserInfo
}

// may asks whether the visitor may do verb; without a namespace, in all of them.
func (r *rights) may(ctx context.Context, a authorizationv1.ResourceAttributes) (bool, error) {
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range r.user.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	asked := authorizationv1.SubjectAccessReviewSpec{
		User: r.user.Username, UID: r.user.UID, Groups: r.user.Groups, Extra: extra,
		ResourceAttributes: &a,
	}
	// All that the answer may depend on, Extra too: an authorizer may look at the scopes of a
	// token. JSON sorts the keys of maps.
	text, err := json.Marshal(asked)
	if err != nil {
		return false, fmt.Errorf("encode what is asked about the visitor: %w", err)
	}
	key := sha256.Sum256(text)
	if allowed, ok := r.known.Get(key); ok {
		return allowed.(bool), nil
	}
	review, err := r.reviews.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: asked},
		metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask whether the visitor may %s %s: %w: %w", a.Verb, a.Resource,
			errUnasked, err)
	}
	r.known.Add(key, review.Status.Allowed, believedFor)
	return review.Status.Allowed, nil
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
