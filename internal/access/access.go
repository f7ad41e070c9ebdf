// Package access asks the API server what users may do, and reuses its answers for a while.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
)

// A Reviewer asks the API server what a user may do.
type Reviewer interface {
	Create(context.Context, *authorizationv1.SubjectAccessReview,
		metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error)
}

// Reviews are the API server's answers. They are safe for concurrent use.
type Reviews struct {
	reviewer Reviewer
	lifetime time.Duration
	known    *cache.LRUExpireCache
}

// NewReviews returns at most size answers, each reused for the lifetime: a revoked right lasts for
// as long.
func NewReviews(r Reviewer, clk clock.PassiveClock, size int, lifetime time.Duration) *Reviews {
	return &Reviews{reviewer: r, lifetime: lifetime,
		known: cache.NewLRUExpireCacheWithClock(size, clk)}
}

// Allowed reports whether the user has the right; one without a namespace counts in all namespaces.
// The error is that of the API server, which was asked but did not answer: that is not reused.
func (r *Reviews) Allowed(ctx context.Context, user authenticationv1.UserInfo,
	right authorizationv1.ResourceAttributes) (bool, error) {
	asked := authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups,
		Extra: map[string]authorizationv1.ExtraValue{}, ResourceAttributes: &right,
	}
	for name, values := range user.Extra {
		asked.Extra[name] = authorizationv1.ExtraValue(values)
	}
	// The key has everything that the answer may depend on, even Extra: an authorizer may look at
	// the scopes of a token. JSON sorts the keys of maps.
	text, err := json.Marshal(asked)
	if err != nil {
		return false, fmt.Errorf("encode a question about a user's rights: %w", err)
	}
	key := sha256.Sum256(text)
	if allowed, ok := r.known.Get(key); ok {
		return allowed.(bool), nil
	}
	review, err := r.reviewer.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: asked},
		metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask whether the user may %s %s: %w", right.Verb, right.Resource,
			err)
	}
	r.known.Add(key, review.Status.Allowed, r.lifetime)
	return review.Status.Allowed, nil
}
