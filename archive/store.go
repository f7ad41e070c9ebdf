package archive

import (
	"context"
	"errors"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

var (
	// ErrNotFound is the error of a Get of what is not there.
	ErrNotFound = errors.New("no such record in the archive")
	// ErrQuery is the error of a query that no store can answer: its caller is wrong.
	ErrQuery = errors.New("wrong query")
	// ErrRefused is the error of a batch with something in it that the store does not take, now or
	// later: what is refused is data, not the writer.
	ErrRefused = errors.New("the archive refuses what is in it")
	// ErrReplaced is the error of whoever goes on from what another incarnation of the database has
	// said.
	ErrReplaced = errors.New("the archive's database was replaced or started anew")
	// ErrForeign is the error of a cluster whose name belongs to another one.
	ErrForeign = errors.New("the name belongs to another cluster")
)

// A Store holds records. All methods are safe for concurrent use, by several processes as well.
type Store interface {
	Feed
	// Claim binds the name of a cluster to its ID, for ever. The error is [ErrForeign] if it is
	// bound to another: two clusters of one name would overwrite each other's positions.
	Claim(ctx context.Context, cluster, id string) error
	// Put stores a batch and the position that is reached with it: all of it or nothing. The error
	// is [ErrReplaced] if the database is no longer the batch's.
	Put(ctx context.Context, b Batch) error
	// Position returns the position that was stored last, the zero Position if none was.
	Position(ctx context.Context, cluster string, kind Kind) (Position, error)
	// Stored returns which of the revisions are stored: these, or later ones. Keys are UIDs.
	Stored(ctx context.Context, cluster string, epoch int64,
		revisions map[string]int64) (map[string]bool, error)
	// Get returns one record. The error is [ErrNotFound] if there is none.
	Get(ctx context.Context, cluster, uid string) (Record, error)
	// List returns one page, the newest record first.
	List(ctx context.Context, q Query) (Page, error)
	// Count counts the records of a query by some of their fields, the largest number first.
	Count(ctx context.Context, q Query, by []Field) ([]Count, error)
	// Hours sums for how long the pods of a query were there, by some fields or none.
	Hours(ctx context.Context, q Query, by []Field) ([]Hours, error)
	// Expire removes the records of the months that were over before a time, and returns how many
	// it removed, as far as that is known: PostgreSQL drops a month as a whole.
	Expire(ctx context.Context, before time.Time) (int64, error)
	// Ping reports whether the store can be reached.
	Ping(ctx context.Context) error
	// Close releases the connections.
	Close()
}

// An Incarnation is a run of the database, from its start to its end. What one has confirmed, the
// next may lack: a standby that was promoted while it was behind, a server that had not written it
// to its disk. So what one has said of positions holds for no other, and who goes on from there
// names it. It is asked for before the position is. The empty Incarnation is any.
type Incarnation string

// A Batch is what is stored at once.
type Batch struct {
	Cluster string
	Kind    Kind
	// In has said up to where records are stored already: the batch goes on from there.
	In      Incarnation
	Records []Record
	// Reached is stored with the records unless its epoch is 0.
	Reached Position
}

// A Position is how far the records of one kind have been read.
type Position struct {
	// Epoch counts the histories of the cluster: one that is restored from a backup begins anew,
	// with revisions that have been there before. The first is 1.
	Epoch int64
	// Revision is a resource version of the API server.
	Revision int64
}

// Limits of queries.
const (
	// MaxLimit is how many records a page has at most.
	MaxLimit = 1000
	// MaxCounts is how many numbers a Count returns at most.
	MaxCounts = 10000
)

// A Query selects records. An empty field matches all.
type Query struct {
	Cluster   string
	Kind      Kind
	Namespace string
	// Name is that of the pod, the node or the owner.
	Name string
	// Subject is the UID of the pod, the node or the owner.
	Subject     string
	Node        string
	Code, Class string
	// Owner is the name of an owner, at any level above the pod.
	Owner string
	// Record is the name of the record in its cluster.
	Record string
	// Labels selects by labels; nil selects all.
	Labels labels.Selector
	// Since and Until bound the time at which the subject left: from Since on, before Until.
	Since, Until time.Time
	// Limit is how many records a page has, at most [MaxLimit]; 0 is MaxLimit.
	Limit int
	// Cursor is [Page.Next] of the page before.
	Cursor string
}

// A Page is a part of the answer to a query.
type Page struct {
	Records []Record
	// Next is the cursor of the next page; empty on the last.
	Next string
}

// A Field is what records can be counted by.
type Field string

// The fields. Days and months are of UTC, as 2006-01-02 and 2006-01.
const (
	ByCluster   Field = "cluster"
	ByNamespace Field = "namespace"
	ByNode      Field = "node"
	ByCode      Field = "code"
	ByClass     Field = "class"
	ByDay       Field = "day"
	ByMonth     Field = "month"
	// ByPool and ByKernel are of the node.
	ByPool   Field = "pool"
	ByKernel Field = "kernel"
	// ByFingerprint is that of a kernel's panic.
	ByFingerprint Field = "fingerprint"

	// byLabel begins the field that is the value of a label of records: "label:KEY".
	byLabel = "label:"
)

// Label returns the key of a field that is a label.
func (f Field) Label() (key string, is bool) { return strings.CutPrefix(string(f), byLabel) }

// Fields are all of them but labels.
var Fields = []Field{ByMonth, ByDay, ByCode, ByClass, ByNode, ByNamespace, ByCluster, ByPool,
	ByKernel, ByFingerprint}

// MaxFields is by how many of them records are counted at once.
const MaxFields = 3

// A Count is how many records have the same values.
type Count struct {
	// Of are the values, in the order of the fields that were asked for.
	Of []string `json:"of"`
	N  int64    `json:"n"`
}

// Hours are for how long pods of the same values were there: those that have left and are recorded.
type Hours struct {
	Of []string `json:"of"`
	// N is how many pods they are, Known of how many of them it is known.
	N     int64 `json:"n"`
	Known int64 `json:"known"`
	// Seconds are those of all of them together, GPUSeconds those of each GPU.
	Seconds    int64 `json:"seconds"`
	GPUSeconds int64 `json:"gpuSeconds"`
}
