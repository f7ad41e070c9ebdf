package lookup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A Finder reads records from the API server, not from a cache: it needs the selectable fields of
// the custom resources.
type Finder struct {
	Reader client.Reader
	// Mapper finds the kinds of owners; only [Finder.Workload] needs it.
	Mapper meta.RESTMapper
	// Past returns what is known of an owner and its pods elsewhere, the newest last, if the API
	// server has nothing: in an archive. It may be nil.
	Past func(ctx context.Context, o Owner) ([]v1alpha1.PodObituary, []v1alpha1.OwnerObituary,
		error)
}

// A Filter selects records. An empty field matches all.
type Filter struct {
	Namespace string
	// Pod and Node are names.
	Pod, Node string
	Code      string
	Class     string
	// Labels selects by labels; nil selects all.
	Labels labels.Selector
	// Since excludes those that left before.
	Since time.Time
	// Max stops the reading after the page on which that many have matched; 0 reads all that exist.
	Max int
}

// pageSize is how many records one request reads.
const pageSize = 500

// Pods returns the records of pods that match, the newest last, and whether want.Max may have left
// some out.
func (f Finder) Pods(ctx context.Context,
	want Filter) (found []v1alpha1.PodObituary, more bool, err error) {
	options := append(want.Options(), client.Limit(pageSize))
	for {
		page := &v1alpha1.PodObituaryList{}
		if err := f.Reader.List(ctx, page, options...); err != nil {
			return nil, false, fmt.Errorf("list pod obituaries: %w", err)
		}
		for _, o := range page.Items {
			if !o.Spec.Removed.Time.Before(want.Since) {
				found = append(found, o)
			}
		}
		if more = want.full(len(found)) && page.Continue != ""; more || page.Continue == "" {
			break
		}
		options = append(options[:len(options):len(options)], client.Continue(page.Continue))
	}
	slices.SortStableFunc(found,
		func(a, b v1alpha1.PodObituary) int { return a.Spec.Removed.Compare(b.Spec.Removed.Time) })
	return found, more, nil
}

// Nodes returns the records of nodes that match, the newest last.
func (f Finder) Nodes(ctx context.Context, want Filter) ([]v1alpha1.NodeObituary, error) {
	all := &v1alpha1.NodeObituaryList{}
	if err := f.Reader.List(ctx, all, want.NodeOptions()...); err != nil {
		return nil, fmt.Errorf("list node obituaries: %w", err)
	}
	found := slices.DeleteFunc(all.Items, func(o v1alpha1.NodeObituary) bool {
		return o.Spec.Removed.Time.Before(want.Since) ||
			want.Class != "" && o.Spec.Class != want.Class
	})
	slices.SortStableFunc(found,
		func(a, b v1alpha1.NodeObituary) int { return a.Spec.Removed.Compare(b.Spec.Removed.Time) })
	return found, nil
}

// Options returns the options that select records of pods at the API server. Since is not among
// them: times are not selectable fields.
func (f Filter) Options() []client.ListOption {
	all := []client.ListOption{client.InNamespace(f.Namespace), selecting(fields.Set{
		"spec.podName": f.Pod, reason.NodeNameField: f.Node, "spec.code": f.Code,
		"spec.class": f.Class,
	})}
	if f.Labels != nil {
		all = append(all, client.MatchingLabelsSelector{Selector: f.Labels})
	}
	return all
}

// NodeOptions returns the options that select records of nodes at the API server, as far as it can:
// by name and code.
func (f Filter) NodeOptions() []client.ListOption {
	return []client.ListOption{selecting(fields.Set{reason.NodeNameField: f.Node,
		"spec.code": f.Code})}
}

// selecting returns a selector of the fields that are not empty.
func selecting(wanted fields.Set) client.MatchingFieldsSelector {
	for name, value := range wanted {
		if value == "" {
			delete(wanted, name)
		}
	}
	return client.MatchingFieldsSelector{Selector: wanted.AsSelector()}
}

func (f Filter) full(n int) bool { return f.Max > 0 && n >= f.Max }

// Of returns those of the pods that died with a node, by its record.
func Of(node *v1alpha1.NodeObituary, pods []v1alpha1.PodObituary) []v1alpha1.PodObituary {
	return slices.DeleteFunc(slices.Clone(pods), func(p v1alpha1.PodObituary) bool {
		return p.Spec.NodeObituary != node.Name
	})
}
