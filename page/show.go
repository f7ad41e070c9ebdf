package page

import (
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// storyView is one story.
type storyView struct {
	Visitor string
	Story   story.Story
	// Node is the name of the record of the pod's node, where the visitor may read it.
	Node string
	// KernelLog is what the kernel said, Pods who died with the node.
	KernelLog []string
	Pods      []v1alpha1.PodObituary
	Nodes     bool
}

func (p *Page) pod(w http.ResponseWriter, v visit) error {
	o := &v1alpha1.PodObituary{}
	key := client.ObjectKey{Namespace: cut(v.PathValue("namespace")),
		Name: cut(v.PathValue("name"))}
	if err := v.Reader.Get(v.Context(), key, o); err != nil {
		return err
	}
	facts, err := v.Facts(v.Context(), o)
	if err != nil {
		return err
	}
	view := storyView{Visitor: v.name, Story: story.OfPod(facts)}
	if facts.Node != nil {
		view.Node = facts.Node.Name
	}
	if view.Nodes, err = v.rights.may(v.Context(), listNodes()); err != nil {
		return err
	}
	return render(w, http.StatusOK, "story.html", view)
}

func (p *Page) node(w http.ResponseWriter, v visit) error {
	o := &v1alpha1.NodeObituary{}
	if err := v.Reader.Get(v.Context(), client.ObjectKey{Name: cut(v.PathValue("name"))},
		o); err != nil {
		return err
	}
	pods, _, err := v.Pods(v.Context(), lookup.Filter{Node: o.Spec.NodeName, Max: maxRead})
	if err != nil && !apierrors.IsForbidden(err) {
		return err
	}
	pods = lookup.Of(o, pods)
	view := storyView{Visitor: v.name, Story: story.OfNode(o, nil), KernelLog: o.Spec.KernelLog,
		Pods: pods[:min(len(pods), maxShown)], Nodes: true}
	return render(w, http.StatusOK, "story.html", view)
}

// nodesView is the list of nodes.
type nodesView struct {
	Visitor string
	List    []v1alpha1.NodeObituary
	Left    string
	Nodes   bool
}

func (p *Page) nodes(w http.ResponseWriter, v visit) error {
	found, err := v.Nodes(v.Context(), lookup.Filter{})
	if err != nil {
		return err
	}
	slices.Reverse(found)
	view := nodesView{Visitor: v.name, List: found[:min(len(found), maxShown)],
		Left: leftOut(len(found), false), Nodes: true}
	return render(w, http.StatusOK, "nodes.html", view)
}
