package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

const (
	// maxRead bounds the records that a visit reads, maxShown those that it shows.
	maxRead  = 5000
	maxShown = 200
	// maxAsked bounds the namespaces about which a visitor's rights are asked for one page,
	// askedAtOnce those at the same time.
	maxAsked    = 200
	askedAtOnce = 8
)

// podsView is the list of pods.
type podsView struct {
	Visitor string
	Query   query
	// Namespaces are those that the visitor may choose, where they may not see all of them.
	Namespaces []string
	// Truncated is set where there are more namespaces than were asked about.
	Truncated bool
	Pods      []v1alpha1.PodObituary
	// Left says what is not shown.
	Left  string
	Nodes bool
}

// A query is what the form of the list says.
type query struct{ Namespace, Code, Class, Node, Pod, Since string }

func queryOf(v url.Values) query {
	return query{
		Namespace: cut(v.Get("namespace")), Code: cut(v.Get("code")), Class: cut(v.Get("class")),
		Node: cut(v.Get("node")), Pod: cut(v.Get("pod")), Since: cut(v.Get("since")),
	}
}

func (q query) filter(now time.Time) (lookup.Filter, error) {
	f := lookup.Filter{Namespace: q.Namespace, Code: q.Code, Class: q.Class, Node: q.Node,
		Pod: q.Pod, Max: maxRead}
	if q.Class != "" &&
		!slices.Contains([]string{reason.Disruption.String(), reason.Routine.String(),
			reason.NoExplanation.String()}, q.Class) {
		return f, errRefused
	}
	if q.Since != "" {
		since, err := time.ParseDuration(q.Since)
		if err != nil || since <= 0 {
			return f, errRefused
		}
		f.Since = now.Add(-since)
	}
	return f, nil
}

func (p *Page) pods(w http.ResponseWriter, v visit) error {
	view := podsView{Visitor: v.name, Query: queryOf(v.URL.Query())}
	filter, err := view.Query.filter(p.Clock.Now())
	if err != nil {
		return err
	}
	if view.Nodes, err = v.rights.may(v.Context(), listNodes()); err != nil {
		return err
	}
	if filter.Namespace == "" {
		all, err := v.rights.may(v.Context(), listPods(""))
		if err != nil {
			return err
		}
		if !all {
			view.Namespaces, view.Truncated, err = p.readable(v.Context(), v.rights)
			if err != nil {
				return err
			}
			return render(w, http.StatusOK, "namespaces.html", view)
		}
	}
	found, more, err := v.Pods(v.Context(), filter)
	if err != nil {
		return err
	}
	slices.Reverse(found)
	view.Pods, view.Left = found[:min(len(found), maxShown)], leftOut(len(found), more)
	return render(w, http.StatusOK, "pods.html", view)
}

// leftOut says what a list does not show.
func leftOut(found int, more bool) string {
	switch {
	case more:
		return fmt.Sprintf(
			"There are more than %d records, and only so many were read: narrow it down.", maxRead)
	case found > maxShown:
		return fmt.Sprintf("These are the last %d of %d: narrow it down.", maxShown, found)
	default:
		return ""
	}
}

// readable returns the namespaces whose records the visitor may list, of the first maxAsked.
func (p *Page) readable(ctx context.Context,
	r *rights) (names []string, truncated bool, err error) {
	all, err := p.Namespaces(ctx)
	if err != nil {
		return nil, false, err
	}
	slices.Sort(all)
	if truncated = len(all) > maxAsked; truncated {
		all = all[:maxAsked]
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for _, name := range all {
		group.Go(func() error {
			allowed, err := r.may(ctx, listPods(name))
			if err == nil && allowed {
				mu.Lock()
				names = append(names, name)
				mu.Unlock()
			}
			return err
		})
	}
	err = group.Wait()
	slices.Sort(names)
	return names, truncated, err
}
