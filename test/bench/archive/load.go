package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/epitaph-k8s/epitaph/archive"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
)

const (
	// needed is what a record takes on the disk, with its indexes.
	needed = 2160
	// reserve is for what PostgreSQL writes besides: its log, and the files in which it sorts.
	reserve = 500 << 20
)

// columns are what the archive writes; PostgreSQL numbers the change by itself.
var columns = []string{"cluster", "kind", "uid", "epoch", "revision", "removed", "namespace", "name",
	"node", "code", "class", "terms", "document", "fingerprint", "seconds", "gpu_seconds"}

// enoughRoom fails if so many records would fill the disk.
func enoughRoom(records int) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(os.TempDir(), &disk); err != nil {
		return fmt.Errorf("ask how full %s is: %w", os.TempDir(), err)
	}
	free, want := int64(disk.Bavail)*int64(disk.Bsize), int64(records)*needed+reserve
	if free < want {
		return fmt.Errorf("%d records need %.1f GB in %s, which has %.1f GB free: fewer RECORDS, or another TMPDIR",
			records, gigabytes(want), os.TempDir(), gigabytes(free))
	}
	return nil
}

func gigabytes(bytes int64) float64 { return float64(bytes) / (1 << 30) }

// A part is the records themselves, or one of their indexes, of all months.
type part struct {
	Name  string
	Bytes int64
}

func sizes(ctx context.Context, dsn string) (parts []part, err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, `SELECT whole::text, sum(pg_table_size(leaf.relid))::bigint
		FROM (SELECT 'records'::regclass AS whole UNION ALL
			SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'records'::regclass) AS parts,
			pg_partition_tree(whole) AS leaf
		WHERE leaf.isleaf GROUP BY whole ORDER BY 2 DESC`)
	if err != nil {
		return nil, fmt.Errorf("ask for sizes: %w", err)
	}
	if parts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[part]); err != nil {
		return nil, fmt.Errorf("ask for sizes: %w", err)
	}
	return parts, nil
}

// load copies records to where the archive stores them, and makes the indexes afterwards: with
// millions of records, to store them all as the archive does takes hours.
func load(ctx context.Context, out io.Writer, db *server.Server, store archive.Store,
	records int) (err error) {
	if records <= 0 {
		return nil
	}
	if err := haveMonths(ctx, store); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, db.DSN())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	again, err := indexes(ctx, conn)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := copyIn(ctx, conn, again, records); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records copied in %.0f s\n", records, time.Since(began).Seconds())
	began = time.Now()
	if err := makeIndexes(ctx, conn, again); err != nil {
		return err
	}
	fmt.Fprintf(out, "indexes made in %.0f s\n", time.Since(began).Seconds())
	return nil
}

// haveMonths has the store make the partitions of all months.
func haveMonths(ctx context.Context, store archive.Store) error {
	b := archive.Batch{Cluster: clusters[0], Kind: archive.PodKind}
	for day := 0; day <= months*30; day++ {
		r, err := archive.Of(b.Cluster, 1, obituary(day*24*60))
		if err != nil {
			return err
		}
		b.Records = append(b.Records, r)
	}
	return store.Put(ctx, b)
}

// An index is one of the records', but for the primary key, and the statement that makes it.
type index struct{ Name, Definition string }

func indexes(ctx context.Context, conn *pgx.Conn) ([]index, error) {
	rows, err := conn.Query(ctx, `SELECT indexname, replace(indexdef, ' ON ONLY ', ' ON ')
		FROM pg_indexes WHERE tablename = 'records' AND indexname <> 'records_pkey'`)
	if err != nil {
		return nil, fmt.Errorf("list the indexes: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		return nil, fmt.Errorf("list the indexes: %w", err)
	}
	return all, nil
}

// copyIn copies the first records into a table without what was in it, and without indexes.
func copyIn(ctx context.Context, conn *pgx.Conn, without []index, records int) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		statements := []string{"TRUNCATE records"}
		for _, i := range without {
			statements = append(statements, "DROP INDEX "+pgx.Identifier{i.Name}.Sanitize())
		}
		if err := each(ctx, tx, statements); err != nil {
			return err
		}
		n := -1
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"records"}, columns,
			pgx.CopyFromFunc(func() ([]any, error) {
				if n++; n == records {
					return nil, nil
				}
				r, err := archive.Of(clusters[n%len(clusters)], 1, obituary(n))
				if err != nil {
					return nil, err
				}
				return []any{r.Cluster, string(r.Kind), r.UID, r.Epoch, r.Revision, r.Removed,
					r.Namespace, r.Name, r.Node, r.Code, r.Class, r.Terms(), r.Document,
					r.Fingerprint, r.Seconds(), r.GPUSeconds}, nil
			}))
		if err != nil {
			return fmt.Errorf("copy records: %w", err)
		}
		return nil
	})
}

// makeIndexes makes indexes of one month after another, so that each is read from the disk once.
// PostgreSQL then finds those of all months there.
func makeIndexes(ctx context.Context, conn *pgx.Conn, all []index) error {
	rows, err := conn.Query(ctx,
		"SELECT relid::regclass::text FROM pg_partition_tree('records') WHERE isleaf ORDER BY 1")
	if err != nil {
		return fmt.Errorf("list the months: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list the months: %w", err)
	}
	statements := []string{"SET maintenance_work_mem = '256MB'"}
	for _, month := range found {
		for _, i := range all {
			_, how, _ := strings.Cut(i.Definition, " USING ")
			statements = append(statements, "CREATE INDEX ON "+month+" USING "+how)
		}
		statements = append(statements, "VACUUM (ANALYZE) "+month)
	}
	for _, i := range all {
		statements = append(statements, i.Definition)
	}
	return each(ctx, conn, append(statements, "ANALYZE records"))
}

// each runs statements, one after another.
func each(ctx context.Context, in interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, statements []string) error {
	for _, statement := range statements {
		if _, err := in.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}
