package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlquery"
)

const (
	// maxConnections bounds the connections of one process: one writes, the others read.
	maxConnections = 8
	// answerWithin bounds each step of who stores and who forwards: a server whose machine has
	// vanished closes no connection, so that TCP would wait for a quarter of an hour, and etcd
	// forgets after five minutes what was not read.
	answerWithin = time.Minute
	// connectWithin bounds the connection to each of the hosts, unless connect_timeout says it.
	connectWithin = 10 * time.Second
	// pongWithin is how soon a connection has to answer that lay idle, or is given up.
	pongWithin = 5 * time.Second
)

// A Store is an archive in PostgreSQL.
type Store struct {
	pool   *pgxpool.Pool
	clock  clock.PassiveClock
	within time.Duration // answerWithin, but in tests

	mu sync.Mutex
	// months are those whose partition is known to exist.
	months map[time.Time]bool
	// grown is how many records of a month this process has stored.
	grown map[time.Time]int64
}

var _ archive.Store = (*Store)(nil)

// Open connects to the database of a connection string, as libpq has them, and migrates it. The
// error never has the string, which may have a password.
func Open(ctx context.Context, dsn string, clk clock.PassiveClock) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the connection string of the archive is not understood")
	}
	config.MaxConns, config.PingTimeout = maxConnections, pongWithin
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectWithin
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "epitaph"
	}
	if err := migrate(ctx, config.ConnConfig); err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the archive: %w", err)
	}
	s := &Store{pool: pool, clock: clk, within: answerWithin, months: map[time.Time]bool{},
		grown: map[time.Time]int64{}}
	if err := s.readAnew(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close releases the connections.
func (s *Store) Close() { s.pool.Close() }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("reach the archive: %w", err)
	}
	return nil
}

// soon bounds a step.
func (s *Store) soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.within)
}

// Claim binds the name of a cluster to its ID.
func (s *Store) Claim(ctx context.Context, cluster, id string) error {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	var bound string
	err := s.pool.QueryRow(ctx, `WITH new AS (
		INSERT INTO clusters (name, id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING id)
		SELECT id FROM new UNION ALL SELECT id FROM clusters WHERE name = $1 LIMIT 1`,
		cluster, id).Scan(&bound)
	if errors.Is(err, pgx.ErrNoRows) { // somebody else has just inserted it
		err = s.pool.QueryRow(ctx, "SELECT id FROM clusters WHERE name = $1", cluster).Scan(&bound)
	}
	if err != nil {
		return fmt.Errorf("claim the name of the cluster: %w", err)
	}
	if bound != id {
		return fmt.Errorf("%w: cluster %q", archive.ErrForeign, cluster)
	}
	return nil
}

// Position returns the position that was stored last.
func (s *Store) Position(ctx context.Context, cluster string,
	kind archive.Kind) (p archive.Position, err error) {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	err = s.pool.QueryRow(ctx,
		"SELECT epoch, revision FROM positions WHERE cluster = $1 AND kind = $2", cluster,
		string(kind)).Scan(&p.Epoch, &p.Revision)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("read the position in the archive: %w", err)
	}
	return p, nil
}

// Stored returns which of the revisions are stored.
func (s *Store) Stored(ctx context.Context, cluster string, epoch int64,
	revisions map[string]int64) (map[string]bool, error) {
	ctx, cancel := s.soon(ctx)
	defer cancel()
	uids, least := make([]string, 0, len(revisions)), make([]int64, 0, len(revisions))
	for uid, revision := range revisions {
		uids, least = append(uids, uid), append(least, revision)
	}
	rows, err := s.pool.Query(ctx, `SELECT r.uid FROM unnest($2::text[], $3::bigint[]) AS w(uid, revision)
		JOIN records r ON r.cluster = $1 AND r.uid = w.uid
		WHERE (r.epoch, r.revision) >= ($4, w.revision)`, cluster, uids, least, epoch)
	if err != nil {
		return nil, fmt.Errorf("ask what is archived: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("ask what is archived: %w", err)
	}
	stored := make(map[string]bool, len(found))
	for _, uid := range found {
		stored[uid] = true
	}
	return stored, nil
}

// columns are where the values of sqlquery.Columns go.
func columns(r *archive.Record) []any {
	return []any{&r.Cluster, &r.Kind, &r.UID, &r.Epoch, &r.Revision, &r.Removed, &r.Namespace,
		&r.Name, &r.Node, &r.Code, &r.Class, &r.Document}
}

func scan(row pgx.CollectableRow) (r archive.Record, err error) {
	err = row.Scan(columns(&r)...)
	r.Removed = r.Removed.UTC()
	return r, err
}

// Get returns one record.
func (s *Store) Get(ctx context.Context, cluster, uid string) (archive.Record, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+sqlquery.Columns+" FROM records WHERE cluster = $1 AND uid = $2",
		cluster, uid)
	if err != nil {
		return archive.Record{}, fmt.Errorf("read a record of the archive: %w", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, archive.ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("read a record of the archive: %w", err)
	}
	return r, nil
}

var dialect = sqlquery.Dialect{
	Parameter: func(n int) string { return fmt.Sprintf("$%d", n) },
	HasTerm:   func(p string) string { return "terms @> ARRAY[" + p + "]::text[]" },
	Time:      func(t time.Time) any { return t },
	Day:       "to_char(removed AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
	Month:     "to_char(removed AT TIME ZONE 'UTC', 'YYYY-MM')",
	Label: func(p string) string {
		return "COALESCE(document->'metadata'->'labels'->>(" + p + "::text), '')"
	},
}

// List returns one page.
func (s *Store) List(ctx context.Context, q archive.Query) (archive.Page, error) {
	statement, err := dialect.List(q)
	if err != nil {
		return archive.Page{}, err
	}
	rows, err := s.pool.Query(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return archive.Page{}, fmt.Errorf("list records of the archive: %w", err)
	}
	found, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return archive.Page{}, fmt.Errorf("list records of the archive: %w", err)
	}
	return q.PageOf(found), nil
}

// Count counts records.
func (s *Store) Count(ctx context.Context, q archive.Query,
	by []archive.Field) ([]archive.Count, error) {
	statement, err := dialect.Count(q, by)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return nil, fmt.Errorf("count records of the archive: %w", err)
	}
	counts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c archive.Count, err error) {
		c.Of = make([]string, len(by))
		to := make([]any, 0, len(by)+1)
		for n := range c.Of {
			to = append(to, &c.Of[n])
		}
		err = row.Scan(append(to, &c.N)...)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("count records of the archive: %w", err)
	}
	return counts, nil
}

// Hours sums hours.
func (s *Store) Hours(ctx context.Context, q archive.Query,
	by []archive.Field) ([]archive.Hours, error) {
	statement, err := dialect.Hours(q, by)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return nil, fmt.Errorf("sum hours of the archive: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (archive.Hours, error) {
		h, to := sqlquery.ScanHours(by)
		err := row.Scan(to...)
		return *h, err
	})
	if err != nil {
		return nil, fmt.Errorf("sum hours of the archive: %w", err)
	}
	return all, nil
}
