package doctor

import (
	"context"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

const (
	// managerAccount is the manager's service account (charts/epitaph/files/rbac.yaml).
	managerAccount = "epitaph-manager"
	// maxOwnersAsked bounds the kinds of owners whose right is asked for: the configuration is
	// somebody else's word. The chart's has some 50.
	maxOwnersAsked = 200
	// remedyOfRights is what helps.
	remedyOfRights = ". Install the chart anew, or grant that: docs/install.md, What it may do"
)

// ownerRights looks whether the manager may do what it needs to say who deleted or scaled what pods
// belong to: without these rights everything goes on, and says less.
func ownerRights(ctx context.Context, p *patient) []Diagnosis {
	const what = "rights over owners"
	if p.off {
		return nil // Owners are not recorded, which has been reported.
	}
	records, err := p.lacking(ctx, metav1.GroupResource{Group: v1alpha1.GroupVersion.Group,
		Resource: "ownerobituaries"}, "get", "list", "watch", "create", "update", "delete")
	if err != nil {
		return []Diagnosis{{Unseen, what, err.Error()}}
	}
	if records != nil {
		return []Diagnosis{{Broken, what, "the manager may not " + strings.Join(records, ", ") +
			": pods whose owner is deleted or scaled do not say by whom" + remedyOfRights}}
	}
	var unread []string
	for _, owner := range p.webhooks.owners() {
		verb := "get"
		if owner == (metav1.GroupResource{Resource: "namespaces"}) {
			verb = "list" // it is read from a cache
		}
		missing, err := p.lacking(ctx, owner, verb)
		if err != nil {
			return []Diagnosis{{Unseen, what, err.Error()}}
		}
		unread = append(unread, missing...)
	}
	if unread != nil {
		return []Diagnosis{{Dubious, what, "the manager may not " + strings.Join(unread, ", ") +
			": who deletes such an owner is not recorded" + remedyOfRights}}
	}
	return []Diagnosis{{Well, what,
		"the manager may read what pods belong to, and record who deletes or scales it"}}
}

// lacking are those verbs that the manager may not use on a resource, as "verb resource".
func (p *patient) lacking(ctx context.Context, r metav1.GroupResource,
	verbs ...string) (missing []string, err error) {
	for _, verb := range verbs {
		review := &authorizationv1.SubjectAccessReview{}
		review.Spec = authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + p.system + ":" + managerAccount,
			Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + p.system,
				"system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: r.Group,
				Resource: r.Resource},
		}
		if err := p.Create(ctx, review); err != nil {
			return nil, err
		}
		if !review.Status.Allowed {
			missing = append(missing, verb+" "+r.String())
		}
	}
	return missing, nil
}

// owners are the kinds whose deletions and scalings the API server asks about.
func (all webhooks) owners() (some []metav1.GroupResource) {
	for _, name := range []string{ownersWebhook, scalingsWebhook} {
		w := all.named(name)
		if w == nil {
			continue
		}
		for _, rule := range w.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					// A Scale is written, and its owner read.
					resource, _, _ = strings.Cut(resource, "/")
					r := metav1.GroupResource{Group: group, Resource: resource}
					if !slices.Contains(some, r) && len(some) < maxOwnersAsked {
						some = append(some, r)
					}
				}
			}
		}
	}
	return some
}
