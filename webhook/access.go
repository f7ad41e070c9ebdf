package webhook

import (
	"context"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/reason"
)

const (
	// An answer about a controller's rights, or about a resource, is reused for allowedFor.
	allowedFor, maxAnswers = 5 * time.Minute, 1024
	maxResources           = 256
	statusSubresource      = "status"
)

// writesStatus tells whether the user may write the status of the kind in the namespace, as its
// controller does, without being an administrator, who may do everything. Where a question is not
// answered, it is false. Where the status is no subresource, the right says nothing: whoever may
// write the object may write its status.
func (o *objects) writesStatus(ctx context.Context, by reason.Remover, namespace string,
	kind schema.GroupKind) bool {
	mapping := o.reader.Mapping(kind)
	if mapping == nil || o.access == nil || !o.statuses.has(ctx, mapping.Resource) {
		return false
	}
	user := authenticationv1.UserInfo{Username: by.User, Groups: by.Groups}
	may := func(verb string) bool {
		allowed, err := o.access.Allowed(ctx, user, authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: kind.Group,
			Version: mapping.Resource.Version, Resource: mapping.Resource.Resource,
			Subresource: statusSubresource})
		return err == nil && allowed
	}
	if !may("update") && !may("patch") {
		return false
	}
	everything, err := o.access.Allowed(ctx, user, authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "*", Group: "*", Resource: "*"})
	return err == nil && !everything
}

// Served tells which resources the API server serves.
type Served interface {
	ServerResourcesForGroupVersionWithContext(ctx context.Context,
		groupVersion string) (*metav1.APIResourceList, error)
}

// statuses are the resources whose status is a subresource.
type statuses struct {
	served Served
	known  *cache.LRUExpireCache
}

func newStatuses(s Served, clk clock.PassiveClock) *statuses {
	return &statuses{s, cache.NewLRUExpireCacheWithClock(maxResources, clk)}
}

// has tells whether the API server serves the status of the resource as a subresource. The objects
// would not tell: one that was created with nothing in it never has managedFields (K8s v1.37
// apimachinery pkg/util/managedfields/internal/skipnonapplied.go).
func (s *statuses) has(ctx context.Context, of schema.GroupVersionResource) bool {
	if s.served == nil {
		return false
	}
	if known, ok := s.known.Get(of); ok {
		return known.(bool)
	}
	all, err := s.served.ServerResourcesForGroupVersionWithContext(ctx, of.GroupVersion().String())
	if err != nil {
		return false
	}
	has := slices.ContainsFunc(all.APIResources, func(r metav1.APIResource) bool {
		return r.Name == of.Resource+"/"+statusSubresource
	})
	s.known.Add(of, has, allowedFor)
	return has
}
