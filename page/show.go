package page

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// podView is the story of a pod.
type podView struct {
	frame
	Story *story.Story
	Pod   podRow
	// Node is the name of the record of the pod's node, if the visitor may read it.
	Node string
}

func (p *Page) pod(w http.ResponseWriter, v visit) error {
	o, facts, err := p.podRecord(v, cut(v.PathValue("namespace")), cut(v.PathValue("name")))
	if err != nil {
		return err
	}
	told := story.OfPod(facts)
	view := podView{frame: v.frame("Pod " + o.Namespace + "/" + o.Spec.PodName),
		Story: &told, Pod: podRow{*o, ownerLinks(o)}}
	switch {
	case v.isElsewhere(): // what this cluster has of these names is something else
		for n := range view.Pod.Links {
			view.Pod.Links[n].To = ""
		}
	case facts.Node != nil:
		view.Node = facts.Node.Name
	}
	return render(w, http.StatusOK, "pod.html", view)
}

// nodeView is the story of a node.
type nodeView struct {
	frame
	Story *story.Story
	Node  *v1alpha1.NodeObituary
	// Down is what it took down, nil if that is nothing or the visitor may not list it.
	Down *tollView
	// Lacks says what is not counted.
	Lacks string
	// Pods are those that died with the node, as far as the visitor may list them; Of says of which
	// owner they are, if one is chosen, and All is then the address of the page with all of them.
	Pods    []podRow
	Of, All string
	paging
	// elsewhere is the cluster that is asked about, empty for this one.
	elsewhere string
}

func (p *Page) node(w http.ResponseWriter, v visit) error {
	o, err := p.nodeRecord(v, cut(v.PathValue("name")))
	if err != nil {
		return err
	}
	told := story.OfNode(o, nil)
	view := nodeView{frame: v.frame("Node " + o.Spec.NodeName), Story: &told, Node: o,
		elsewhere: cut(v.URL.Query().Get(parameterCluster))}
	asked := queryOf(v.URL.Query())
	q := query{Namespace: asked.Namespace, Owner: asked.Owner, Pod: asked.Pod, After: asked.After}
	after, err := parsePlace(q.After)
	if err != nil {
		return err
	}
	down, err := p.down(v, o)
	if err != nil {
		return err
	}
	address := func(q query) string { return view.at(q.address(addressOf("nodes", o.Name))) }
	view.Down, view.Lacks = tollOf(down.pods, address), down.lacks
	if q.Owner+q.Pod != "" {
		view.Of, view.All = q.Namespace+"/"+q.Owner+q.Pod, address(query{})
	}
	pods := podsOf(q, lookup.Filter{Namespace: q.Namespace, Pod: q.Pod})
	found := pick(down.pods, pods, after, rowsShown)
	view.Pods, view.paging = podRows(found.rows), pagingOf(found, q,
		addressOf("nodes", o.Name), pods.place)
	view.Next, view.First = view.at(view.Next), view.at(view.First)
	if v.isElsewhere() { // what this cluster has of these names is something else
		for _, row := range view.Pods {
			for n := range row.Links {
				row.Links[n].To = ""
			}
		}
	}
	view.Missing(down.missing)
	return render(w, http.StatusOK, "node.html", view)
}

// at adds the cluster that is asked about to an address, if there is one.
func (v nodeView) at(address string) string {
	if address == "" || v.elsewhere == "" {
		return address
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	return address + separator + url.Values{parameterCluster: {v.elsewhere}}.Encode()
}

// PodAt is the address of the story of a pod.
func (v nodeView) PodAt(row podRow) string {
	return v.at(addressOf("pods", row.Namespace, row.Name))
}

// NodePods is the address of the list of all pods that left a node of that name.
func (v nodeView) NodePods() string { return query{Node: v.Node.Spec.NodeName}.address("/") }

// maxJobPods bounds the pods that a verdict on a Job is made of.
const maxJobPods = 2000

// jobView is a Job with its pods on record.
type jobView struct {
	frame
	Namespace string
	// Story is told if the visitor may read the Job, or learns that it is gone.
	Story *story.Story
	// Untold says why there is no story.
	Untold string
	// Owners are those of the Job, of which its pods tell.
	Owners []link
	Pods   []jobRow
	paging
}

// A jobRow is one line of the pods of a Job.
type jobRow struct {
	podRow
	// Earlier is set if the pod was of an earlier Job of that name.
	Earlier bool
}

func (p *Page) job(w http.ResponseWriter, v visit) error {
	namespace, name := cut(v.PathValue("namespace")), cut(v.PathValue("name"))
	if !isName(namespace) || !isName(name) {
		return errMissing
	}
	q := query{After: queryOf(v.URL.Query()).After}
	after, err := parsePlace(q.After)
	if err != nil {
		return err
	}
	kept, missing, err := v.records(v.Context(), namespace)
	if err != nil {
		return err
	}
	pods := podsOf(query{}, lookup.Filter{})
	pods.matches = func(o *record) bool { return isOfJob(o, name) }
	var all []*record
	pods.seen = func(o *record) { all = append(all, o) }
	found := pick(kept, pods, after, rowsShown)
	job, gone, err := v.Job(v.Context(), namespace, name)
	if err != nil {
		return err
	}
	past := []v1alpha1.PodObituary(nil)
	if found.matching == 0 && job == nil {
		past, err = p.jobPods(v, namespace, name)
		if err != nil {
			return err
		}
		if len(past) == 0 {
			return errMissing
		}
	}
	view := jobView{frame: v.frame("Job " + namespace + "/" + name),
		paging: pagingOf(found, q, addressOf("jobs", namespace, name), pods.place)}
	view.Missing(missing)
	view.Namespace = namespace
	switch {
	case job == nil && !gone:
		view.Untold = "You have no right to read the Job itself: whether it runs its pods again " +
			"is not known."
	case len(all) > maxJobPods:
		view.Untold = fmt.Sprintf("It has more than %d pods on record: too many for a verdict.",
			maxJobPods)
	default:
		whole := past
		if past == nil {
			whole, err = p.whole(v.Context(), namespace, all)
		}
		if err != nil {
			return err
		}
		told := story.OfWorkload(workload(namespace, name, job, whole))
		// The pods are told of in a table.
		told.Parts = slices.DeleteFunc(told.Parts,
			func(part story.Part) bool { return part.Heading == story.ItsPods })
		view.Story = &told
	}
	rows := podRows(found.rows)
	for n := len(past); n > 0 && len(rows) < rowsShown; n-- {
		rows = append(rows, podRow{past[n-1], ownerLinks(&past[n-1])})
	}
	for _, row := range rows {
		owner := jobOf(&row.PodObituary, name)
		view.Pods = append(view.Pods, jobRow{row, job != nil && isOther(owner.UID, job.UID)})
		if n := slices.IndexFunc(row.Spec.Owners, isJob); len(view.Owners) == 0 {
			view.Owners = row.Links[n+1:]
		}
	}
	return render(w, http.StatusOK, "job.html", view)
}

// workload is a Job, or one that is gone, with its pods on record. Pods that still run are not
// read.
func workload(namespace, name string, job *batchv1.Job,
	pods []v1alpha1.PodObituary) story.Workload {
	w := story.Workload{APIVersion: batchv1.SchemeGroupVersion.String(), Kind: reason.JobKind.Kind,
		Namespace: namespace, Name: name, Gone: job == nil, Job: job, Pods: pods}
	if job != nil {
		w.UID, w.Created, w.JobSpec = job.UID, job.CreationTimestamp, &job.Spec
		w.Unread = job.Status.Active > 0
	}
	return w
}

// maxGets is how many records are read one by one; to read more, the namespace is listed.
const maxGets = 64

// whole reads records of a namespace of which a part is kept, from the API server: as far as they
// are still there, and in the order of time. Whoever sees them may list the namespace.
func (p *Page) whole(ctx context.Context, namespace string,
	wanted []*record) (found []v1alpha1.PodObituary, err error) {
	if len(wanted) > maxGets {
		found, err = p.listed(ctx, namespace, wanted)
	} else {
		found, err = p.gotten(ctx, namespace, wanted)
	}
	slices.SortFunc(found, func(a, b v1alpha1.PodObituary) int {
		return cmp.Or(a.Spec.Removed.Compare(b.Spec.Removed.Time), cmp.Compare(a.Name, b.Name))
	})
	return found, err
}

func (p *Page) gotten(ctx context.Context, namespace string,
	wanted []*record) ([]v1alpha1.PodObituary, error) {
	found := make([]v1alpha1.PodObituary, len(wanted))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(askedAtOnce)
	for n, o := range wanted {
		group.Go(func() error {
			key := client.ObjectKey{Namespace: namespace, Name: o.name}
			if err := p.Reader.Get(ctx, key, &found[n]); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("read pod obituary %s: %w", key, err)
			}
			return nil
		})
	}
	err := group.Wait()
	return slices.DeleteFunc(found,
		func(o v1alpha1.PodObituary) bool { return o.Name == "" }), err
}

func (p *Page) listed(ctx context.Context, namespace string,
	wanted []*record) (found []v1alpha1.PodObituary, err error) {
	names := sets.New[string]()
	for _, o := range wanted {
		names.Insert(o.name)
	}
	read, err := read(ctx, p, func(ctx context.Context,
		options ...client.ListOption) ([]v1alpha1.PodObituary, string, error) {
		list := &v1alpha1.PodObituaryList{}
		if err := p.Reader.List(ctx, list, options...); err != nil {
			return nil, "", fmt.Errorf("list pod obituaries: %w", err)
		}
		return list.Items, list.Continue, nil
	}, selection[v1alpha1.PodObituary]{
		place: func(o *v1alpha1.PodObituary) place {
			return placeOf(&o.ObjectMeta, o.Spec.Removed)
		},
		matches: func(o *v1alpha1.PodObituary) bool { return names.Has(o.Name) },
	}, nil, len(wanted), client.InNamespace(namespace))
	return read.rows, err
}

// isOfJob reports whether a pod was of a Job of that name.
func isOfJob(o *record, name string) bool {
	return slices.ContainsFunc(o.owners, func(owner recordOwner) bool {
		return owner.name.Value() == name && isJob(owner.owner())
	})
}

// jobOf returns the owner of a pod that is the Job of that name, or nil.
func jobOf(o *v1alpha1.PodObituary, name string) *v1alpha1.Owner {
	for n, owner := range o.Spec.Owners {
		if isJob(owner) && owner.Name == name {
			return &o.Spec.Owners[n]
		}
	}
	return nil
}

// isOther reports whether an owner on record, whose UID may be missing, is certainly not this one.
func isOther(onRecord, this types.UID) bool { return onRecord != "" && onRecord != this }

// nodesView is the list of nodes.
type nodesView struct {
	frame
	Query query
	List  []v1alpha1.NodeObituary
	// Chart is nil if there is nothing to draw.
	Chart *chart
	paging
}

func (p *Page) nodes(w http.ResponseWriter, v visit) error {
	view := nodesView{frame: v.frame("Nodes that left"), Query: queryOf(v.URL.Query())}
	filter, err := view.Query.filter(p.Clock.Now())
	if err != nil {
		return err
	}
	after, err := parsePlace(view.Query.After)
	if err != nil {
		return err
	}
	nodes, counted := nodesOf(view.Query, filter.Since), counts{}
	nodes.seen = func(o *v1alpha1.NodeObituary) { counted.add(o.Spec.Removed, o.Spec.Code) }
	found, err := read(v.Context(), p, v.listNodes, nodes, after, rowsShown,
		filter.NodeOptions()...)
	if err != nil {
		return err
	}
	view.List, view.paging = found.rows, pagingOf(found, view.Query, "/nodes", nodes.place)
	view.Chart = counted.chart(view.frame, "nodes", view.Query, "/nodes")
	return render(w, http.StatusOK, "nodes.html", view)
}

// listNodes reads one chunk of the records of nodes.
func (v visit) listNodes(ctx context.Context,
	options ...client.ListOption) ([]v1alpha1.NodeObituary, string, error) {
	list := &v1alpha1.NodeObituaryList{}
	if err := v.Reader.List(ctx, list, options...); err != nil {
		return nil, "", fmt.Errorf("list node obituaries: %w", err)
	}
	return list.Items, list.Continue, nil
}

// nodesOf selects the records of nodes that a query asks for.
func nodesOf(q query, since time.Time) selection[v1alpha1.NodeObituary] {
	wanted := strings.ToLower(q.Text)
	return selection[v1alpha1.NodeObituary]{
		place: func(o *v1alpha1.NodeObituary) place {
			return placeOf(&o.ObjectMeta, o.Spec.Removed)
		},
		matches: func(o *v1alpha1.NodeObituary) bool {
			s := &o.Spec
			return !s.Removed.Time.Before(since) && (q.Class == "" || s.Class == q.Class) &&
				(wanted == "" || contains(wanted, s.NodeName, s.Reason, s.Code, s.By, s.DeletedBy))
		},
	}
}
