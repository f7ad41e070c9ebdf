package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/archive/postgres"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
)

// turns is how often each of two schemas is written to.
const turns = 10

// numbering measures how much longer it takes to store records because each gets a number in the
// order of storage, and an index has them: in turns with a schema that has neither.
func numbering(ctx context.Context, out io.Writer, records int) error {
	var took [2]time.Duration
	var stores [2]*postgres.Store
	for n := range stores {
		db, err := server.Start(ctx, server.Options{Durable: true})
		if err != nil {
			return err
		}
		defer db.Stop()
		if stores[n], err = postgres.Open(ctx, db.DSN(), clock.RealClock{}); err != nil {
			return err
		}
		defer stores[n].Close()
		if n == 1 {
			if err := withoutNumbers(ctx, db.DSN()); err != nil {
				return err
			}
		}
	}
	each := records / turns
	for turn := range turns {
		for n := range stores {
			n = (n + turn) % len(stores) // whoever is first is so in half of the turns
			began := time.Now()
			if _, err := fill(ctx, io.Discard, stores[n], turn*each, (turn+1)*each); err != nil {
				return err
			}
			took[n] += time.Since(began)
		}
	}
	fmt.Fprintf(out, "%d records stored in %.1f s with a number for receivers, %.1f s without\n",
		turns*each, took[0].Seconds(), took[1].Seconds())
	fmt.Fprintf(out, "RESULT archive_numbering_ratio %.2f\n", took[0].Seconds()/took[1].Seconds())
	return nil
}

// withoutNumbers takes out of the schema what numbers the changes.
func withoutNumbers(ctx context.Context, dsn string) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx,
		"DROP INDEX records_change; ALTER TABLE records ALTER COLUMN change DROP DEFAULT")
	if err != nil {
		return fmt.Errorf("take out the numbers: %w", err)
	}
	return nil
}
