package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// maxAsked bounds the namespaces for which one page checks a visitor's rights, askedAtOnce those
// that it checks at the same time.
const (
	maxAsked    = 200
	askedAtOnce = 8
)

// podsView is the list of pods.
type podsView struct {
	frame
	Query query
	// Namespaces are those that the visitor may choose, if they may not see all.
	Namespaces []string
	// Truncated is set if there are more namespaces than were checked.
	Truncated bool
	Pods      []podRow
	// Chart is nil if there is nothing to draw.
	Chart *chart
	paging
}

// A podRow is one line of a list of pods.
type podRow struct {
	v1alpha1.PodObituary
	Links []link
}

func podRows(pods []record) []podRow {
	rows := make([]podRow, len(pods))
	for n := range pods {
		o := pods[n].obituary()
		rows[n] = podRow{o, ownerLinks(&o)}
	}
	return rows
}

// A query is the content of a list's form.
type query struct {
	Namespace, Code, Class, Node, Pod, Owner, Since string
	// Text is searched for, After is the place that the page follows.
	Text, After string
}

func queryOf(v url.Values) query {
	return query{
		Namespace: cut(v.Get("namespace")), Code: cut(v.Get("code")), Class: cut(v.Get("class")),
		Node: cut(v.Get("node")), Pod: cut(v.Get("pod")),
		Owner: cutTo(v.Get("owner"), maxOwnerBytes), Since: cut(v.Get("since")),
		Text: cut(v.Get("q")), After: cutTo(v.Get("after"), maxPlaceBytes),
	}
}

const (
	// maxOwnerBytes has room for a kind and a name.
	maxOwnerBytes = 2 * maxParameterBytes
	// maxPlaceBytes has room for a time, a namespace and a name.
	maxPlaceBytes = 3 * maxParameterBytes
)

// values is the inverse of queryOf.
func (q query) values() url.Values {
	values := url.Values{}
	for name, value := range map[string]string{"namespace": q.Namespace, "code": q.Code,
		"class": q.Class, "node": q.Node, "pod": q.Pod, "owner": q.Owner, "since": q.Since,
		"q": q.Text, "after": q.After} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

// address is that of the list under path with this query.
func (q query) address(path string) string {
	return (&url.URL{Path: path, RawQuery: q.values().Encode()}).String()
}

// All is the address of the list of pods without a filter.
func (q query) All() string { return query{Namespace: q.Namespace}.address("/") }

// Filters reports whether a field besides the search and the namespace is filled in.
func (q query) Filters() bool {
	return q != query{Namespace: q.Namespace, Text: q.Text, After: q.After}
}

func (q query) filter(now time.Time) (lookup.Filter, error) {
	f := lookup.Filter{Namespace: q.Namespace, Code: q.Code, Class: q.Class, Node: q.Node,
		Pod: q.Pod}
	if q.Class != "" &&
		!slices.Contains([]string{reason.Disruption.String(), reason.Routine.String(),
			reason.NoExplanation.String()}, q.Class) {
		return f, errRefused
	}
	if q.Since != "" {
		since, err := duration(q.Since)
		if err != nil || since <= 0 {
			return f, errRefused
		}
		f.Since = now.Add(-since)
	}
	return f, nil
}

// maxDays keeps a number of days from overflowing a duration.
const maxDays = 10_000

// duration reads what time.ParseDuration reads, and days, as in 7d.
func duration(text string) (time.Duration, error) {
	days, ok := strings.CutSuffix(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 0)
	if err != nil || n > maxDays {
		return 0, errRefused
	}
	return time.Duration(n) * 24 * time.Hour, nil
}

func (p *Page) pods(w http.ResponseWriter, v visit) error {
	view := podsView{frame: v.frame("Pods that left"), Query: queryOf(v.URL.Query())}
	filter, err := view.Query.filter(p.Clock.Now())
	if err != nil {
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
			view.Title = "Choose a namespace"
			return render(w, http.StatusOK, "namespaces.html", view)
		}
	} else {
		view.Title += " from " + filter.Namespace
	}
	after, err := parsePlace(view.Query.After)
	if err != nil {
		return err
	}
	kept, missing, err := v.records(v.Context(), filter.Namespace)
	if err != nil {
		return err
	}
	pods, counted := podsOf(view.Query, filter), counts{}
	pods.seen = func(o *record) { counted.add(metav1.Unix(o.removed, 0), o.code.Value()) }
	found := pick(kept, pods, after, rowsShown)
	view.Pods = podRows(found.rows)
	view.paging = pagingOf(found, view.Query, "/", pods.place)
	view.Missing(missing)
	view.Chart = counted.chart(view.frame, "pods", view.Query, "/")
	return render(w, http.StatusOK, "pods.html", view)
}

// podsOf selects the records of pods that a query asks for.
func podsOf(q query, f lookup.Filter) selection[record] {
	wanted := strings.ToLower(q.Text)
	return selection[record]{
		place: (*record).place,
		matches: func(o *record) bool {
			return is(f.Namespace, o.namespace.Value()) && is(f.Pod, o.pod) &&
				is(f.Node, o.node.Value()) && is(f.Code, o.code.Value()) &&
				is(f.Class, o.class.Value()) && !time.Unix(o.removed, 0).Before(f.Since) &&
				(q.Owner == "" || isOf(o.owners, q.Owner)) &&
				(wanted == "" || contains(wanted, o.namespace.Value(), o.pod, o.reason.Value(),
					o.code.Value(), o.by.Value(), o.deletedBy.Value(), o.node.Value()) ||
					ownerContains(wanted, o.owners))
		},
	}
}

// is reports whether a field has the value that is wanted, if any is.
func is(wanted, value string) bool { return wanted == "" || wanted == value }

// isOf reports whether one of the owners has that name, or is that Kind/name.
func isOf(owners []recordOwner, wanted string) bool {
	return slices.ContainsFunc(owners, func(o recordOwner) bool {
		if !strings.HasSuffix(wanted, o.name.Value()) {
			return false
		}
		return o.name.Value() == wanted || o.kind.Value()+"/"+o.name.Value() == wanted ||
			ownerText(o.owner()) == wanted
	})
}

func ownerContains(wanted string, owners []recordOwner) bool {
	return slices.ContainsFunc(owners, func(o recordOwner) bool {
		return contains(wanted, o.kind.Value()+"/"+o.name.Value())
	})
}

// contains reports whether one of the texts contains what is wanted, whatever its case.
func contains(wanted string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), wanted)
	})
}

// A paging says which part of a list is shown, and where the rest is.
type paging struct {
	// From and To are the numbers of the first and the last row, of all that match.
	From, To, Matching int
	// Next and First are addresses.
	Next, First string
	// Unread says that not all records were read.
	Unread string
}

func pagingOf[T any](found newest[T], q query, path string, at func(*T) place) paging {
	shown := paging{From: found.before + 1, To: found.before + len(found.rows),
		Matching: found.matching}
	if q.After != "" {
		first := q
		first.After = ""
		shown.First = first.address(path)
	}
	if len(found.rows) > 0 && shown.To < shown.Matching {
		q.After = at(&found.rows[len(found.rows)-1]).String()
		shown.Next = q.address(path)
	}
	if found.cut {
		shown.Unread = fmt.Sprintf("There are more records: %d were read, in the order of their "+
			"names. Choose a node or a code.", found.read)
	}
	return shown
}

// Missing says which records the list cannot have: those that left until a time.
func (p *paging) Missing(until time.Time) {
	if !until.IsZero() {
		p.Unread = fmt.Sprintf("There are more records than the page keeps in memory: of those that "+
			"left until %s some are not listed. kubectl epitaph list has them.",
			until.Format(story.TimeFormat))
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
