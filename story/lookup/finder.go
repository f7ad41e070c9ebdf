package lookup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A Finder reads records, from the API server itself: it needs the selectable fields of the custom
// resources.
type Finder struct {
	Reader client.Reader
}

// A Filter names the records that are wanted. What is empty matches all.
type Filter struct {
	Namespace string
	// Pod and Node are names.
	Pod, Node string
	Code      string
	Class     string
	// Since leaves out who left before.
	Since time.Time
	// Max bounds how many are read; 0 reads all that retention has kept.
	Max int
}

// pageSize is how many records one request reads.
const pageSize = 500

// Pods returns the records of pods that f wants, the newest last, and whether f.Max left some out.
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

// Nodes returns the records of nodes that f wants, the newest last.
func (f Finder) Nodes(ctx context.Context, want Filter) ([]v1alpha1.NodeObituary, error) {
	all := &v1alpha1.NodeObituaryList{}
	if err := f.Reader.List(ctx, all,
		selecting(fields.Set{reason.NodeNameField: want.Node,
			"spec.code": want.Code})); err != nil {
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

// Options select records of pods at the API server. Since is not among them: times are no
// selectable fields.
func (f Filter) Options() []client.ListOption {
	return []client.ListOption{client.InNamespace(f.Namespace), selecting(fields.Set{
		"spec.podName": f.Pod, reason.NodeNameField: f.Node, "spec.code": f.Code,
		"spec.class": f.Class,
	})}
}

// selecting leaves out what is empty.
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
