package page

import (
	"net/url"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
)

// A link is a text and, if the page has something about it, its address.
type link struct{ Text, To string }

// ownerLinks are the owners of a pod, the nearest first: a Job's link leads to its page, another
// owner's to its pods.
func ownerLinks(o *v1alpha1.PodObituary) []link {
	links := make([]link, len(o.Spec.Owners))
	for n, owner := range o.Spec.Owners {
		links[n] = link{
			ownerText(owner),
			query{Namespace: o.Namespace, Owner: owner.Kind + "/" + owner.Name}.address("/"),
		}
		if isJob(owner) && isName(owner.Name) {
			links[n].To = addressOf("jobs", o.Namespace, owner.Name)
		}
	}
	return links
}

// ownerText names an owner as lists do.
func ownerText(o v1alpha1.Owner) string {
	return reason.KindOf(o.APIVersion, o.Kind) + "/" + o.Name
}

// isJob reports whether an owner is a Job of Kubernetes, or may be one: old records lack the API
// group.
func isJob(o v1alpha1.Owner) bool {
	return story.IsKind(o, reason.JobKind) || o.APIVersion == "" && o.Kind == reason.JobKind.Kind
}

// isName reports whether an object of Kubernetes may have that name: it then means itself in a
// path.
func isName(s string) bool { return len(validation.IsDNS1123Subdomain(s)) == 0 }

// addressOf is the address of a page about one object.
func addressOf(elements ...string) string {
	return (&url.URL{Path: "/"}).JoinPath(elements...).String()
}

// NodeOf leads to the record of a pod's node, if it has one that the visitor may read, and else to
// the pods of the namespace that left the node.
func (f frame) NodeOf(o v1alpha1.PodObituary) link {
	if f.Nodes && isName(o.Spec.NodeObituary) {
		return link{o.Spec.NodeName, addressOf("nodes", o.Spec.NodeObituary)}
	}
	return link{o.Spec.NodeName, podsOnNode(&o)}
}

// PodsOnNode is the address of the list of the pods of the record's namespace that left its node.
func (r podRow) PodsOnNode() string { return podsOnNode(&r.PodObituary) }

func podsOnNode(o *v1alpha1.PodObituary) string {
	return query{Namespace: o.Namespace, Node: o.Spec.NodeName}.address("/")
}
