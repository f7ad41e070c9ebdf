package page

import (
	"cmp"
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// pageSize is how many records one request to the API server reads, rowsShown how many one
	// page shows.
	pageSize  = 500
	rowsShown = 100
	// maxRead and maxReading bound what one visit reads.
	maxRead    = 200_000
	maxReading = 30 * time.Second
	// freelyRead is how many records every visit may read; of those that read more, only
	// maxLongReads do at the same time.
	freelyRead   = 5_000
	maxLongReads = 4
)

// A place is where a record stands in a list: the newest first, those of one second by name.
type place struct {
	at              time.Time
	namespace, name string
}

// compare is negative if p comes before q in a list.
func (p place) compare(q place) int {
	return cmp.Or(q.at.Compare(p.at), strings.Compare(p.namespace, q.namespace),
		strings.Compare(p.name, q.name))
}

// placeOf returns the place of a record that left at the given time.
func placeOf(o *metav1.ObjectMeta, removed metav1.Time) place {
	return place{removed.UTC(), o.Namespace, o.Name}
}

// String is the form of a place in an address.
func (p place) String() string {
	return p.at.UTC().Format(time.RFC3339) + "," + p.namespace + "/" + p.name
}

// parsePlace is the inverse of String; the place of an empty text is before all others.
func parsePlace(text string) (*place, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no place is not an error
	}
	at, key, _ := strings.Cut(text, ",")
	when, err := time.Parse(time.RFC3339, at)
	namespace, name, ok := strings.Cut(key, "/")
	if err != nil || !ok {
		return nil, errRefused
	}
	return &place{when.UTC(), namespace, name}, nil
}

// A selection is which records of one kind a list has.
type selection[T any] struct {
	place   func(*T) place
	matches func(*T) bool
	// seen, if set, is told of each record that matches.
	seen func(*T)
}

// A lister reads one chunk of records from the API server, and says where the next begins.
type lister[T any] func(context.Context, ...client.ListOption) (chunk []T, next string, err error)

// A newest is the page of a list that follows a place.
type newest[T any] struct {
	rows []T // the newest first
	// before is how many of those that match come before the page, matching how many there are.
	before, matching int
	// read is how many records were read; if cut is set, there are more.
	read int
	cut  bool
}

// pick keeps the newest of some records that follow a place.
func pick[T any](all []*T, s selection[T], after *place, rows int) (found newest[T]) {
	found.read = len(all)
	for _, o := range all {
		if s.matches(o) {
			found.take(&s, after, o, rows)
		}
	}
	return found
}

// read reads all records from the API server, chunk by chunk, and keeps the newest that follow a
// place. The API server lists them by name: to know the newest, all have to be read. What is held
// is one chunk and the rows, however many there are.
func read[T any](ctx context.Context, p *Page, list lister[T], s selection[T], after *place,
	rows int, options ...client.ListOption) (found newest[T], err error) {
	started := p.Clock.Now()
	options = append(slices.Clone(options), client.Limit(pageSize))
	for next, turn := "", false; ; {
		chunk, following, err := list(ctx, append(slices.Clone(options),
			client.Continue(next))...)
		if err != nil {
			return found, err
		}
		found.read += len(chunk)
		for n := range chunk {
			if s.matches(&chunk[n]) {
				found.take(&s, after, &chunk[n], rows)
			}
		}
		if following == "" {
			return found, nil
		}
		if found.read >= maxRead || p.Clock.Since(started) >= maxReading {
			found.cut = true
			return found, nil
		}
		if !turn && found.read >= freelyRead {
			leave, err := p.takeTurn()
			if err != nil {
				return found, err
			}
			defer leave()
			turn = true
		}
		next = following
	}
}

// takeTurn begins a long read, unless there are as many as may be.
func (p *Page) takeTurn() (leave func(), err error) {
	select {
	case p.longReads <- struct{}{}:
		return func() { <-p.longReads }, nil
	default:
		return nil, errBusy
	}
}

// take counts a record that matches, and keeps it if it is among the rows.
func (f *newest[T]) take(s *selection[T], after *place, o *T, rows int) {
	f.matching++
	if s.seen != nil {
		s.seen(o)
	}
	at := s.place(o)
	if after != nil && at.compare(*after) <= 0 {
		f.before++
		return
	}
	if len(f.rows) == rows && s.place(&f.rows[rows-1]).compare(at) < 0 {
		return
	}
	n := sort.Search(len(f.rows), func(n int) bool { return s.place(&f.rows[n]).compare(at) > 0 })
	if len(f.rows) == rows {
		f.rows = f.rows[:rows-1]
	}
	// A copy: the chunk is not held by what is kept of it.
	f.rows = slices.Insert(f.rows, n, *o)
}
