package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"time"

	"github.com/pressly/goose/v3"
	"k8s.io/utils/clock"
	_ "modernc.org/sqlite" // the driver

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/sqlquery"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// maxReaders bounds the connections that read.
	maxReaders = 4
	// busyMilliseconds is how long a writer waits for another.
	busyMilliseconds = 30000
	// cacheKiB is what a connection keeps of the file in memory.
	cacheKiB = 8 << 10
	// versions is the table in which the migrations that were made are noted.
	versions = "schema_versions"
)

// A Store is an archive in a file.
type Store struct {
	writer, readers *sql.DB
	clock           clock.PassiveClock
}

var _ archive.Store = (*Store)(nil)

// Open opens the file, which is made if there is none, and migrates it.
func Open(ctx context.Context, path string, clk clock.PassiveClock) (*Store, error) {
	writer, err := connect(path, url.Values{"_txlock": {"immediate"}})
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	s := &Store{writer: writer, clock: clk}
	if err := migrate(ctx, writer); err != nil {
		s.Close()
		return nil, err
	}
	if s.readers, err = connect(path, url.Values{}); err != nil {
		s.Close()
		return nil, err
	}
	s.readers.SetMaxOpenConns(maxReaders)
	if err := s.readAnew(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func connect(path string, options url.Values) (*sql.DB, error) {
	options["_pragma"] = []string{fmt.Sprintf("busy_timeout(%d)", busyMilliseconds),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(OFF)",
		fmt.Sprintf("cache_size(-%d)", cacheKiB)}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{
		Path: path}).EscapedPath(), RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open the archive %s: %w", path, err)
	}
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("find the migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithTableName(versions))
	if err != nil {
		return fmt.Errorf("prepare the migrations: %w", err)
	}
	// goose has no lock for SQLite: of those that migrate at once, the later find that a table is
	// there. When they look again, so is the version. That can befall them at the table of versions
	// and at each version, and no more often.
	for range len(provider.ListSources()) + 2 {
		if _, err = provider.Up(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("migrate the archive: %w", err)
}

// Close closes the file.
func (s *Store) Close() {
	_ = s.writer.Close()
	if s.readers != nil {
		_ = s.readers.Close()
	}
}

// Ping reports whether the file can be read.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	if err := s.readers.QueryRowContext(ctx, "SELECT count(*) FROM clusters").Scan(&n); err != nil {
		return fmt.Errorf("reach the archive: %w", err)
	}
	return nil
}

// Claim binds the name of a cluster to its ID.
func (s *Store) Claim(ctx context.Context, cluster, id string) error {
	var bound string
	_, err := s.writer.ExecContext(ctx,
		"INSERT INTO clusters (name, id) VALUES (?1, ?2) ON CONFLICT DO NOTHING", cluster, id)
	if err == nil {
		err = s.writer.QueryRowContext(ctx, "SELECT id FROM clusters WHERE name = ?1",
			cluster).Scan(&bound)
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
	err = s.readers.QueryRowContext(ctx,
		"SELECT epoch, revision FROM positions WHERE cluster = ?1 AND kind = ?2", cluster,
		string(kind)).Scan(&p.Epoch, &p.Revision)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return p, fmt.Errorf("read the position in the archive: %w", err)
	}
	return p, nil
}

// Stored returns which of the revisions are stored.
func (s *Store) Stored(ctx context.Context, cluster string, epoch int64,
	revisions map[string]int64) (map[string]bool, error) {
	asked, err := json.Marshal(revisions)
	if err != nil {
		return nil, fmt.Errorf("encode what is asked for: %w", err)
	}
	rows, err := s.readers.QueryContext(ctx, `SELECT r.uid FROM json_each(?1) w
		JOIN records r ON r.cluster = ?2 AND r.uid = w.key
		WHERE (r.epoch, r.revision) >= (?3, w.value)`, string(asked), cluster, epoch)
	if err != nil {
		return nil, fmt.Errorf("ask what is archived: %w", err)
	}
	defer func() { _ = rows.Close() }()
	stored := map[string]bool{}
	for rows.Next() {
		var uid string
		if err := rows.Scan(&uid); err != nil {
			return nil, fmt.Errorf("ask what is archived: %w", err)
		}
		stored[uid] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask what is archived: %w", err)
	}
	return stored, nil
}

// A scanner is a row.
type scanner interface{ Scan(to ...any) error }

// scan reads the values of sqlquery.Columns, and what is asked for besides them.
func scan(row scanner, besides ...any) (r archive.Record, err error) {
	var removed int64
	err = row.Scan(append([]any{&r.Cluster, &r.Kind, &r.UID, &r.Epoch, &r.Revision, &removed,
		&r.Namespace, &r.Name, &r.Node, &r.Code, &r.Class, &r.Document}, besides...)...)
	r.Removed = time.UnixMicro(removed).UTC()
	return r, err
}

// Get returns one record.
func (s *Store) Get(ctx context.Context, cluster, uid string) (archive.Record, error) {
	r, err := scan(s.readers.QueryRowContext(ctx,
		"SELECT "+sqlquery.Columns+" FROM records WHERE cluster = ?1 AND uid = ?2", cluster, uid))
	if errors.Is(err, sql.ErrNoRows) {
		return r, archive.ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("read a record of the archive: %w", err)
	}
	return r, nil
}

var dialect = sqlquery.Dialect{
	Parameter: func(n int) string { return fmt.Sprintf("?%d", n) },
	HasTerm: func(p string) string {
		return "EXISTS (SELECT 1 FROM terms WHERE record = records.id AND term = " + p + ")"
	},
	Time:  func(t time.Time) any { return t.UnixMicro() },
	Day:   "strftime('%Y-%m-%d', removed / 1000000, 'unixepoch')",
	Month: "strftime('%Y-%m', removed / 1000000, 'unixepoch')",
	Label: func(p string) string {
		return "COALESCE(document->'metadata'->'labels'->>" + p + ", '')"
	},
}

// List returns one page.
func (s *Store) List(ctx context.Context, q archive.Query) (archive.Page, error) {
	statement, err := dialect.List(q)
	if err != nil {
		return archive.Page{}, err
	}
	rows, err := s.readers.QueryContext(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return archive.Page{}, fmt.Errorf("list records of the archive: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var found []archive.Record
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return archive.Page{}, fmt.Errorf("list records of the archive: %w", err)
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
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
	rows, err := s.readers.QueryContext(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return nil, fmt.Errorf("count records of the archive: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var counts []archive.Count
	for rows.Next() {
		c := archive.Count{Of: make([]string, len(by))}
		to := make([]any, 0, len(by)+1)
		for n := range c.Of {
			to = append(to, &c.Of[n])
		}
		if err := rows.Scan(append(to, &c.N)...); err != nil {
			return nil, fmt.Errorf("count records of the archive: %w", err)
		}
		counts = append(counts, c)
	}
	if err := rows.Err(); err != nil {
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
	rows, err := s.readers.QueryContext(ctx, statement.SQL, statement.Args...)
	if err != nil {
		return nil, fmt.Errorf("sum hours of the archive: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []archive.Hours
	for rows.Next() {
		h, to := sqlquery.ScanHours(by)
		if err := rows.Scan(to...); err != nil {
			return nil, fmt.Errorf("sum hours of the archive: %w", err)
		}
		all = append(all, *h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sum hours of the archive: %w", err)
	}
	return all, nil
}
