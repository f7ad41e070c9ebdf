package archive

import "context"

// A Mark is a place in the order in which the revisions of a cluster's records were stored. The
// zero Mark is before all of them.
type Mark struct {
	// Number grows with each revision that is stored; 0 is what was stored before there were
	// numbers.
	Number int64
	// UID tells apart what has the number 0.
	UID string
}

// A Change is a record as it is stored, at the mark of its newest revision. A revision that was
// replaced has no mark any more.
type Change struct {
	Mark   Mark
	Record Record
}

// A Feed tells what was stored, in order, and keeps how far each receiver of it has got.
//
// Marks are those of an incarnation: what another one lacks of it is stored anew, under marks that
// may be in another order. The error is [ErrReplaced] if the database is no longer the one that is
// named; how far the receiver has got there, that one knows.
type Feed interface {
	// Incarnation returns that of the database.
	Incarnation(ctx context.Context) (Incarnation, error)
	// Changes returns the first of a cluster's changes after a mark, in order. A change that is
	// stored later has a later mark than all that were ever returned.
	Changes(ctx context.Context, in Incarnation, cluster string, after Mark,
		limit int) ([]Change, error)
	// Newest returns the mark of what was stored last.
	Newest(ctx context.Context, cluster string) (Mark, error)
	// Reached returns how far a receiver has got; known is false if it was never told.
	Reached(ctx context.Context, cluster, receiver string) (at Mark, known bool, err error)
	// Reach stores how far a receiver has got. One that has got farther stays there.
	Reach(ctx context.Context, in Incarnation, cluster, receiver string, at Mark) error
}
