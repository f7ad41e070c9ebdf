package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/story"
)

// parameterCluster says of which cluster of the archive a record is; without it, of this one.
const parameterCluster = "cluster"

// asks returns whom to ask about what has left the cluster, in the visitor's name: the archive
// itself asks the API server what they may read. It is nil where there is no archive.
func (v visit) asks(ctx context.Context, p *Page) (*ask.Client, error) {
	if p.Archive == nil {
		return nil, nil
	}
	client, err := p.Archive(ctx)
	if client == nil || err != nil {
		return nil, err
	}
	return &ask.Client{URL: client.URL, HTTP: client.HTTP, Token: tokenOf(v.Request)}, nil
}

// mustAsk is asks where there is nothing without an archive.
func (v visit) mustAsk(p *Page) (*ask.Client, error) {
	client, err := v.asks(v.Context(), p)
	if client == nil && err == nil {
		err = errMissing
	}
	return client, err
}

// archived reads one record from the archive. The error is errMissing if it has none.
func (p *Page) archived(v visit, kind archive.Kind, q url.Values, into any) error {
	client, err := v.mustAsk(p)
	if err != nil {
		return err
	}
	if cluster := cut(v.URL.Query().Get(parameterCluster)); cluster != "" {
		q.Set(archive.ParameterCluster, cluster)
	}
	q.Set(archive.ParameterLimit, "1")
	page, err := client.Page(v.Context(), kind, q)
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		return errMissing
	}
	if err := json.Unmarshal(page.Items[0].Record, into); err != nil {
		return fmt.Errorf("read a record of the archive: %w", err)
	}
	return nil
}

// isElsewhere reports whether a visitor asks about another cluster.
func (v visit) isElsewhere() bool { return v.URL.Query().Get(parameterCluster) != "" }

// podRecord reads the record of a pod: from the cluster or, once it has left that, the archive.
func (p *Page) podRecord(v visit, namespace, name string) (*v1alpha1.PodObituary, story.Facts,
	error) {
	o := &v1alpha1.PodObituary{}
	err := errMissing
	if !v.isElsewhere() {
		err = v.read(v.Context(), namespace, name, o)
		if err == nil {
			facts, err := v.Facts(v.Context(), o)
			return o, facts, err
		}
		if !apierrors.IsNotFound(err) {
			return nil, story.Facts{}, err
		}
	}
	if p.Archive == nil {
		return nil, story.Facts{}, err
	}
	if err := p.archived(v, archive.PodKind, url.Values{archive.ParameterNamespace: {namespace},
		archive.ParameterRecord: {name}}, o); err != nil {
		return nil, story.Facts{}, err
	}
	facts := story.Facts{Pod: o}
	if !v.isElsewhere() {
		if facts, err = v.Facts(v.Context(), o); err != nil {
			return nil, facts, err
		}
	}
	if facts.Node == nil && o.Spec.NodeObituary != "" {
		node := &v1alpha1.NodeObituary{}
		err := p.archived(v, archive.NodeKind,
			url.Values{archive.ParameterRecord: {o.Spec.NodeObituary}}, node)
		if err == nil { // without it, the story says less
			facts.Node = node
		}
	}
	return o, facts, nil
}

// nodeRecord reads the record of a node: from the cluster or, once it has left that, from the
// archive.
func (p *Page) nodeRecord(v visit, name string) (*v1alpha1.NodeObituary, error) {
	o := &v1alpha1.NodeObituary{}
	err := errMissing
	if !v.isElsewhere() {
		if err = v.read(v.Context(), "", name, o); !apierrors.IsNotFound(err) {
			return o, err
		}
	}
	if p.Archive == nil {
		return nil, err
	}
	return o, p.archived(v, archive.NodeKind, url.Values{archive.ParameterRecord: {name}}, o)
}

// jobPods reads the pods of a Job of which the cluster has nothing from the archive, the oldest
// first; there may be none.
func (p *Page) jobPods(v visit, namespace, name string) (pods []v1alpha1.PodObituary, err error) {
	client, err := v.asks(v.Context(), p)
	if client == nil || err != nil {
		return nil, err
	}
	err = client.All(v.Context(), archive.PodKind, url.Values{
		archive.ParameterNamespace: {namespace}, archive.ParameterOwner: {name}}, maxJobPods,
		func(item archive.Item) error {
			var o v1alpha1.PodObituary
			if err := json.Unmarshal(item.Record, &o); err != nil {
				return err
			}
			if jobOf(&o, name) != nil {
				pods = append([]v1alpha1.PodObituary{o}, pods...)
			}
			return nil
		})
	return pods, err
}

// archiveView is a list of what the archive has, of pods or of nodes.
type archiveView struct {
	frame
	Query archiveQuery
	// Of is "pods" or "nodes".
	Of   string
	Rows []archiveRow
	// Next is the address of the next page, First that of the first.
	Next, First string
}

// An archiveRow is one line of it.
type archiveRow struct {
	Cluster string
	Pod     *podRow
	Node    *v1alpha1.NodeObituary
	// To is the address of the story.
	To string
}

// An archiveQuery is the content of its form.
type archiveQuery struct {
	query
	// Cluster is one that writes to the same store; "*" stands for all.
	Cluster string
}

func (q archiveQuery) address(path string) string {
	values := q.values()
	if q.Cluster != "" {
		values.Set(parameterCluster, q.Cluster)
	}
	return (&url.URL{Path: path, RawQuery: values.Encode()}).String()
}

// question is what the archive is asked.
func (q archiveQuery) question(now time.Time) (url.Values, error) {
	f, err := q.filter(now)
	if err != nil {
		return nil, err
	}
	owner := q.Owner[strings.LastIndexByte(q.Owner, '/')+1:]
	values := url.Values{archive.ParameterLimit: {strconv.Itoa(rowsShown)}}
	for name, value := range map[string]string{archive.ParameterCluster: q.Cluster,
		archive.ParameterNamespace: f.Namespace, archive.ParameterName: f.Pod,
		archive.ParameterNode: f.Node, archive.ParameterCode: f.Code,
		archive.ParameterClass: f.Class, archive.ParameterOwner: owner,
		archive.ParameterCursor: q.After} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if !f.Since.IsZero() {
		values.Set(archive.ParameterSince, f.Since.UTC().Format(time.RFC3339))
	}
	return values, nil
}

// archiveList shows what the archive has of pods, or of nodes, that the visitor may read.
func (p *Page) archiveList(kind archive.Kind) func(http.ResponseWriter, visit) error {
	return func(w http.ResponseWriter, v visit) error {
		client, err := v.mustAsk(p)
		if err != nil {
			return err
		}
		view := archiveView{frame: v.frame("The archive: " + kind.Plural() + " that left"),
			Of: kind.Plural(), Query: archiveQuery{queryOf(v.URL.Query()),
				cut(v.URL.Query().Get(parameterCluster))}}
		question, err := view.Query.question(p.Clock.Now())
		if err != nil {
			return err
		}
		page, err := client.Page(v.Context(), kind, question)
		if err != nil {
			return err
		}
		for _, item := range page.Items {
			row, err := rowOf(kind, item, view.Query.Cluster)
			if err != nil {
				return err
			}
			view.Rows = append(view.Rows, row)
		}
		path := "/archive"
		if kind == archive.NodeKind {
			path = "/archive/nodes"
		}
		if first := view.Query; first.After != "" {
			first.After = ""
			view.First = first.address(path)
		}
		if older := view.Query; page.Next != "" {
			older.After = page.Next
			view.Next = older.address(path)
		}
		return render(w, http.StatusOK, "archive.html", view)
	}
}

// rowOf reads a record. Its address names the cluster if the visitor has chosen one, or all.
func rowOf(kind archive.Kind, item archive.Item, asked string) (row archiveRow, err error) {
	row.Cluster = item.Cluster
	var to string
	if kind == archive.NodeKind {
		row.Node = &v1alpha1.NodeObituary{}
		err = json.Unmarshal(item.Record, row.Node)
		to = addressOf("nodes", row.Node.Name)
	} else {
		row.Pod = &podRow{}
		err = json.Unmarshal(item.Record, &row.Pod.PodObituary)
		to = addressOf("pods", row.Pod.Namespace, row.Pod.Name)
		if asked == "" {
			row.Pod.Links = ownerLinks(&row.Pod.PodObituary)
		}
	}
	if err != nil {
		return row, fmt.Errorf("read a record of the archive: %w", err)
	}
	if asked != "" {
		to += "?" + url.Values{parameterCluster: {item.Cluster}}.Encode()
	}
	row.To = to
	return row, nil
}
