package page

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/ask"
	"github.com/epitaph-k8s/epitaph/archive/rates"
	"github.com/epitaph-k8s/epitaph/reason"
)

// usualHistory is how far a history reaches back by default.
const usualHistory = "90d"

// A historyView is what only a history can tell, from the archive.
type historyView struct {
	frame
	Query historyQuery
	// Rates are disruptions by cause, beside the hours for which pods were there.
	Rates []rateRow
	// Caveats say what the hours leave out.
	Caveats []string
	// Often are the nodes that left more than once, and Crashes the places in the kernel where
	// nodes panicked. Both are of those who may list the records of nodes.
	Often   []oftenRow
	Crashes []crashRow
	// More is set where a table has not all rows.
	More bool
}

// A rateRow is one line of them.
type rateRow struct {
	// Of is the value that the visitor has them counted by, empty without one.
	Of, Code    string
	Disruptions int64
	Hours, Per  string
}

// An oftenRow is one node.
type oftenRow struct {
	Cluster, Node string
	Times         int64
	// To is the address of its records.
	To string
}

// A crashRow is one fingerprint of panics, empty for those without one.
type crashRow struct {
	Fingerprint     string
	Panics          int64
	Nodes, Clusters int
}

// A historyQuery is the content of its form.
type historyQuery struct {
	Namespace, Since, Cluster, By string
}

func historyQueryOf(v url.Values) historyQuery {
	q := historyQuery{Namespace: cut(v.Get("namespace")), Cluster: cut(v.Get(parameterCluster)),
		Since: cmp.Or(cut(v.Get("since")), usualHistory), By: cut(v.Get("by"))}
	if q.By == string(archive.ByCode) { // it is counted by anyway
		q.By = ""
	}
	return q
}

// of is what the archive is asked about nodes, or about pods.
func (q historyQuery) of(kind archive.Kind, now time.Time) (url.Values, error) {
	of := archiveQuery{query{Since: q.Since}, q.Cluster}
	if kind == archive.PodKind {
		of.Namespace = q.Namespace
	}
	values, err := of.question(now)
	values.Del(archive.ParameterLimit)
	return values, err
}

// history shows how often pods were disrupted and, to those who may list nodes, which died more
// than once, and which crashed in the same place.
func (p *Page) history(w http.ResponseWriter, v visit) error {
	client, err := v.mustAsk(p)
	if err != nil {
		return err
	}
	view := historyView{frame: v.frame("The archive: history"), Query: historyQueryOf(v.URL.Query())}
	pods, err := view.Query.of(archive.PodKind, p.Clock.Now())
	if err != nil {
		return err
	}
	if err := view.countPods(v.Context(), client, pods); err != nil {
		return err
	}
	nodes, err := view.Query.of(archive.NodeKind, p.Clock.Now())
	if err != nil {
		return err
	}
	err = view.countNodes(v.Context(), client, nodes)
	if err != nil && ask.Status(err) != http.StatusForbidden {
		return err
	}
	return render(w, http.StatusOK, "history.html", view)
}

// with is a question with more in it, as pairs of name and value.
func with(q url.Values, pairs ...string) url.Values {
	all := url.Values{}
	for name, values := range q {
		all[name] = values
	}
	for pair := range slices.Chunk(pairs, 2) {
		all.Set(pair[0], pair[1])
	}
	return all
}

func (h *historyView) countPods(ctx context.Context, client *ask.Client, q url.Values) error {
	by := []string{string(archive.ByCode)}
	if h.Query.By != "" {
		by = append([]string{h.Query.By}, by...)
	}
	ends, err := client.Counts(ctx, archive.PodKind, with(q, archive.ParameterBy,
		strings.Join(by, ","), archive.ParameterClass, reason.Disruption.String()))
	if err != nil {
		return err
	}
	if where := rates.Exposure(by); len(where) > 0 {
		q = with(q, archive.ParameterBy, strings.Join(where, ","))
	}
	hours, err := client.Hours(ctx, q)
	if err != nil {
		return err
	}
	routine, err := client.Counts(ctx, archive.PodKind, with(q, archive.ParameterBy,
		string(archive.ByCode), archive.ParameterClass, reason.Routine.String()))
	if err != nil {
		return err
	}
	all := rates.Of(by, ends, hours)
	for _, r := range all[:min(len(all), rowsShown)] {
		row := rateRow{Code: r.Of[len(by)-1], Disruptions: r.Disruptions,
			Hours: strconv.FormatFloat(r.PodHours(), 'f', 1, 64), Per: "–"}
		if n, ok := r.PerThousand(); ok {
			row.Per = strconv.FormatFloat(n, 'f', 2, 64)
		}
		if len(by) > 1 {
			row.Of = r.Of[0]
		}
		h.Rates = append(h.Rates, row)
	}
	h.More = len(all) > rowsShown
	h.Caveats = []string{rates.Caveat}
	if !rates.RoutineIsRecorded(routine) {
		h.Caveats = append(h.Caveats, rates.Unrecorded)
	}
	return nil
}

func (h *historyView) countNodes(ctx context.Context, client *ask.Client, q url.Values) error {
	ends, err := client.Counts(ctx, archive.NodeKind, with(q, archive.ParameterBy,
		join(archive.ByCluster, archive.ByNode)))
	if err != nil {
		return err
	}
	often := slices.DeleteFunc(ends, func(n archive.Count) bool { return n.N < 2 })
	for _, n := range often[:min(len(often), rowsShown)] {
		row := oftenRow{Cluster: n.Of[0], Node: n.Of[1], Times: n.N}
		records := archiveQuery{query{Node: row.Node, Since: h.Query.Since}, ""}
		if h.Query.Cluster != "" {
			records.Cluster = row.Cluster
		}
		row.To = records.address("/archive/nodes")
		h.Often = append(h.Often, row)
	}
	panics, err := client.Counts(ctx, archive.NodeKind, with(q, archive.ParameterCode,
		string(reason.KernelPanic), archive.ParameterBy,
		join(archive.ByFingerprint, archive.ByCluster, archive.ByNode)))
	if err != nil {
		return err
	}
	crashes := crashesOf(panics)
	h.Crashes = crashes[:min(len(crashes), rowsShown)]
	h.More = h.More || len(often) > rowsShown || len(crashes) > rowsShown
	return nil
}

func join(fields ...archive.Field) string {
	names := make([]string, len(fields))
	for n, field := range fields {
		names[n] = string(field)
	}
	return strings.Join(names, ",")
}

// crashesOf sums up what was counted by fingerprint, cluster and node: the most frequent first, and
// those without a fingerprint last.
func crashesOf(counts []archive.Count) []crashRow {
	var rows []crashRow
	at, clusters := map[string]int{}, map[[2]string]bool{}
	for _, n := range counts {
		fingerprint, cluster := n.Of[0], n.Of[1]
		i, known := at[fingerprint]
		if !known {
			i = len(rows)
			at[fingerprint] = i
			rows = append(rows, crashRow{Fingerprint: fingerprint})
		}
		rows[i].Panics += n.N
		rows[i].Nodes++
		if in := [2]string{fingerprint, cluster}; !clusters[in] {
			clusters[in] = true
			rows[i].Clusters++
		}
	}
	slices.SortStableFunc(rows, func(a, b crashRow) int {
		if (a.Fingerprint == "") != (b.Fingerprint == "") {
			return strings.Compare(b.Fingerprint, a.Fingerprint)
		}
		return cmp.Or(cmp.Compare(b.Panics, a.Panics), strings.Compare(a.Fingerprint,
			b.Fingerprint))
	})
	return rows
}
