package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unique"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/story/toll"
)

const (
	// maxDown bounds the records that are read of the archive for one node.
	maxDown = 2000
	// afterNode is how long after a node a pod may leave that the archive is asked about for it:
	// the node's name may live on, with pods that are none of its.
	afterNode = 7 * 24 * time.Hour
)

// A downfall is the pods that a node took down, as far as the visitor may list them.
type downfall struct {
	pods []*record
	// missing is until when the cluster's records may be incomplete; zero if they are not.
	missing time.Time
	// lacks says what the archive did not tell; empty if nothing is known to be missing.
	lacks string
}

// down finds the pods whose records name the record of a node: in the cluster, and in the archive.
func (p *Page) down(v visit, o *v1alpha1.NodeObituary) (d downfall, err error) {
	there := map[[2]string]bool{}
	take := func(pod *record) {
		key := [2]string{pod.namespace.Value(), pod.name}
		if pod.nodeObituary.Value() == o.Name && !there[key] {
			there[key] = true
			d.pods = append(d.pods, pod)
		}
	}
	if !v.isElsewhere() {
		var kept []*record
		kept, d.missing, err = v.records(v.Context(), "")
		if apierrors.IsForbidden(err) {
			return downfall{}, nil // nor may they list what the archive has
		}
		if err != nil {
			return d, err
		}
		node := unique.Make(o.Spec.NodeName)
		for _, pod := range kept {
			if pod.node == node {
				take(pod)
			}
		}
	}
	err = p.archivedDown(v, o, take)
	switch {
	case errors.Is(err, ask.ErrMany):
		d.lacks = fmt.Sprintf("More than %d pods left a node of this name: some are not counted.",
			maxDown)
	case ask.Status(err) == http.StatusForbidden: // they see no more than in the cluster
	case err != nil:
		p.Log.Error(err, "the archive was not asked about the pods of a node", "node", o.Name)
		d.lacks = "The archive could not be asked: what it alone has is not counted."
	}
	return d, nil
}

// archivedDown takes what the archive has of the pods of a node.
func (p *Page) archivedDown(v visit, o *v1alpha1.NodeObituary, take func(*record)) error {
	client, err := v.asks(v.Context(), p)
	if client == nil || err != nil {
		return err
	}
	removed := o.Spec.Removed.UTC()
	q := url.Values{archive.ParameterNode: {o.Spec.NodeName},
		archive.ParameterSince: {removed.Add(-toll.BeforeNode).Format(time.RFC3339)},
		archive.ParameterUntil: {removed.Add(afterNode).Format(time.RFC3339)}}
	if cluster := cut(v.URL.Query().Get(parameterCluster)); cluster != "" {
		q.Set(archive.ParameterCluster, cluster)
	}
	return client.All(v.Context(), archive.PodKind, q, maxDown, func(item archive.Item) error {
		var pod v1alpha1.PodObituary
		if err := json.Unmarshal(item.Record, &pod); err != nil {
			return err
		}
		take(recordOf(&pod))
		return nil
	})
}

// tollView is what a node took down, by the topmost owners of its pods.
type tollView struct {
	toll.Toll
	Owners []ownerRow
	// Omitted is how many owners have no row.
	Omitted int
}

// An ownerRow is one line of it.
type ownerRow struct {
	toll.Owner
	// To leads to those of its pods that the node took down.
	To string
}

// tollOf sums up what the pods of a node have lost. It is nil if there are none. The addresses are
// of the node's page.
func tollOf(pods []*record, address func(query) string) *tollView {
	if len(pods) == 0 {
		return nil
	}
	counted := make([]toll.Pod, len(pods))
	for n, pod := range pods {
		counted[n] = pod.counted()
	}
	all := toll.Of(counted)
	view := &tollView{Toll: all.Toll, Omitted: max(0, len(all.Owners)-rowsShown)}
	for _, o := range all.Owners[:min(len(all.Owners), rowsShown)] {
		q := query{Namespace: o.Namespace, Pod: o.Name}
		if o.Kind != "" {
			q = query{Namespace: o.Namespace, Owner: o.Kind + "/" + o.Name}
		}
		view.Owners = append(view.Owners, ownerRow{o, address(q)})
	}
	return view
}

// Hours writes a number of hours.
func (*tollView) Hours(h float64) string { return strconv.FormatFloat(h, 'f', 1, 64) }
