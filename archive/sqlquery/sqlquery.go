// Package sqlquery writes the SQL of queries for both stores. Whatever a caller has sent is a
// parameter of the statement; of the text, nothing is.
package sqlquery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/epitaph-k8s/epitaph/archive"
)

// A Dialect is what the databases differ in.
type Dialect struct {
	// Parameter writes the n-th parameter, from 1 on.
	Parameter func(n int) string
	// HasTerm writes the condition that a record has a term, which is a parameter.
	HasTerm func(parameter string) string
	// Time is a time as a parameter.
	Time func(time.Time) any
	// Day and Month write the column "removed" as text of UTC.
	Day, Month string
	// Label writes the value of the label whose key is a parameter.
	Label func(parameter string) string
}

// A Statement is SQL with its parameters.
type Statement struct {
	SQL  string
	Args []any
}

type writer struct {
	d     Dialect
	where []string
	args  []any
}

func (w *writer) parameter(value any) string {
	w.args = append(w.args, value)
	return w.d.Parameter(len(w.args))
}

func (w *writer) equal(column, value string) {
	if value != "" {
		w.where = append(w.where, column+" = "+w.parameter(value))
	}
}

func (w *writer) term(term string) string { return w.d.HasTerm(w.parameter(term)) }

// conditions writes what a query asks for, without its cursor.
func (d Dialect) conditions(q archive.Query) (*writer, error) {
	w := &writer{d: d}
	w.equal("cluster", q.Cluster)
	w.equal("kind", string(q.Kind))
	w.equal("namespace", q.Namespace)
	w.equal("name", q.Name)
	w.equal("node", q.Node)
	w.equal("code", q.Code)
	w.equal("class", q.Class)
	if q.Subject != "" {
		w.where = append(w.where, w.term(archive.SubjectTerm(q.Subject)))
	}
	if q.Owner != "" {
		w.where = append(w.where, w.term(archive.OwnerTerm(q.Owner)))
	}
	if q.Record != "" {
		w.where = append(w.where, w.term(archive.RecordTerm(q.Record)))
	}
	if !q.Since.IsZero() {
		w.where = append(w.where, "removed >= "+w.parameter(d.Time(q.Since)))
	}
	if !q.Until.IsZero() {
		w.where = append(w.where, "removed < "+w.parameter(d.Time(q.Until)))
	}
	return w, w.labels(q.Labels)
}

// maxRequirements and maxValues bound a selector.
const maxRequirements, maxValues = 32, 64

// negations are the operators that want none of the terms.
var negations = []selection.Operator{selection.NotIn, selection.NotEquals, selection.DoesNotExist}

func (w *writer) labels(selector labels.Selector) error {
	if selector == nil {
		return nil
	}
	all, selectable := selector.Requirements()
	if !selectable {
		w.where = append(w.where, "1 = 0")
		return nil
	}
	if len(all) > maxRequirements {
		return fmt.Errorf("%w: the selector has more than %d requirements", archive.ErrQuery,
			maxRequirements)
	}
	for _, r := range all {
		condition, err := w.requirement(r)
		if err != nil {
			return err
		}
		w.where = append(w.where, condition)
	}
	return nil
}

func (w *writer) requirement(r labels.Requirement) (string, error) {
	values := r.ValuesUnsorted()
	if len(values) > maxValues {
		return "", fmt.Errorf("%w: a label has more than %d values", archive.ErrQuery, maxValues)
	}
	slices.Sort(values)
	any := make([]string, len(values))
	switch r.Operator() {
	case selection.In, selection.Equals, selection.DoubleEquals, selection.NotIn,
		selection.NotEquals:
		for n, value := range values {
			any[n] = w.term(archive.LabelTerm(r.Key(), value))
		}
	case selection.Exists, selection.DoesNotExist:
		any = []string{w.term(archive.LabelKeyTerm(r.Key()))}
	default:
		return "", fmt.Errorf("%w: selectors with %q are not understood", archive.ErrQuery,
			r.Operator())
	}
	condition := "(" + strings.Join(any, " OR ") + ")"
	if slices.Contains(negations, r.Operator()) {
		condition = "NOT " + condition
	}
	return condition, nil
}

func (w *writer) whole() string {
	if len(w.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.where, " AND ")
}

// Columns are those of a record, in the order in which stores scan them.
const Columns = "cluster, kind, uid, epoch, revision, removed, namespace, name, node, code, class, document"

// List writes the SQL of a page, with one record more than it has.
func (d Dialect) List(q archive.Query) (Statement, error) {
	w, err := d.conditions(q)
	if err != nil {
		return Statement{}, err
	}
	after, err := q.After()
	if err != nil {
		return Statement{}, err
	}
	if after != nil {
		w.where = append(w.where, fmt.Sprintf("(removed, uid) < (%s, %s)",
			w.parameter(d.Time(after.Removed)), w.parameter(after.UID)))
	}
	return Statement{fmt.Sprintf("SELECT %s FROM records%s ORDER BY removed DESC, uid DESC LIMIT %d",
		Columns, w.whole(), q.Size()+1), w.args}, nil
}

// Count writes the SQL of numbers: the values, then the number.
func (d Dialect) Count(q archive.Query, by []archive.Field) (Statement, error) {
	w, err := d.conditions(q)
	if err != nil {
		return Statement{}, err
	}
	if len(by) == 0 {
		return Statement{}, errFields
	}
	return w.grouped(by, "count(*)")
}

// Hours writes the SQL of sums of hours: the values, then the numbers of [archive.Hours].
func (d Dialect) Hours(q archive.Query, by []archive.Field) (Statement, error) {
	w, err := d.conditions(q)
	if err != nil {
		return Statement{}, err
	}
	return w.grouped(by, `count(*), count(seconds), CAST(COALESCE(sum(seconds), 0) AS bigint),
		CAST(COALESCE(sum(gpu_seconds), 0) AS bigint)`)
}

// ScanHours returns what a row of Hours is scanned into.
func ScanHours(by []archive.Field) (h *archive.Hours, to []any) {
	h = &archive.Hours{Of: make([]string, len(by))}
	for n := range h.Of {
		to = append(to, &h.Of[n])
	}
	return h, append(to, &h.N, &h.Known, &h.Seconds, &h.GPUSeconds)
}

var errFields = fmt.Errorf("%w: count by 1 to %d fields", archive.ErrQuery, archive.MaxFields)

func (w *writer) grouped(by []archive.Field, numbers string) (Statement, error) {
	if len(by) > archive.MaxFields {
		return Statement{}, errFields
	}
	if len(by) == 0 {
		return Statement{"SELECT " + numbers + " FROM records" + w.whole(), w.args}, nil
	}
	columns := make([]string, 0, len(by))
	places := make([]string, 0, len(by))
	for n, field := range by {
		column, err := w.column(field)
		if err != nil {
			return Statement{}, err
		}
		columns, places = append(columns, column), append(places, fmt.Sprint(n+1))
	}
	return Statement{fmt.Sprintf("SELECT %s, %s FROM records%s GROUP BY %s ORDER BY count(*) DESC, %s LIMIT %d",
		strings.Join(columns, ", "), numbers, w.whole(), strings.Join(places, ", "),
		strings.Join(places, ", "), archive.MaxCounts), w.args}, nil
}

// What a record says of the node, in its document: a pod's of its node, a node's of itself.
const (
	pool   = "COALESCE(document->'spec'->>'nodePool', document->'spec'->>'pool', '')"
	kernel = "COALESCE(document->'spec'->>'nodeKernel', document->'spec'->>'kernel', '')"
)

func (w *writer) column(f archive.Field) (string, error) {
	if key, is := f.Label(); is {
		if len(validation.IsQualifiedName(key)) > 0 {
			return "", fmt.Errorf("%w: there is no label %q", archive.ErrQuery, key)
		}
		return w.d.Label(w.parameter(key)), nil
	}
	switch f {
	case archive.ByCluster, archive.ByNamespace, archive.ByNode, archive.ByCode, archive.ByClass:
		return string(f), nil
	case archive.ByDay:
		return w.d.Day, nil
	case archive.ByMonth:
		return w.d.Month, nil
	case archive.ByPool:
		return pool, nil
	case archive.ByKernel:
		return kernel, nil
	case archive.ByFingerprint:
		return "COALESCE(fingerprint, '')", nil
	}
	return "", fmt.Errorf("%w: there is no field %q to count by", archive.ErrQuery, string(f))
}
