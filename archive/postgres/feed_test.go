package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/postgres"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// What was stored before there were numbers comes first, by UID; what a replica of the older version
// still stores afterwards, by the statements that it has, comes in its turn.
func TestOlderVersionWrites(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	record := func(uid string) archive.Batch {
		return archive.Batch{Cluster: "c", Kind: archive.PodKind, Records: []archive.Record{{Cluster: "c",
			Kind: archive.PodKind, UID: uid, Epoch: 1, Revision: 1, Removed: storetest.Now,
			Document: []byte("{}")}}}
	}
	put := func(store *postgres.Store, uids ...string) {
		t.Helper()
		for _, uid := range uids {
			if err := store.Put(t.Context(), record(uid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	first := opened(t, s.DSN())
	put(first, "b", "a")
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	run := func(statements ...string) {
		t.Helper()
		for _, sql := range statements {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", sql, err)
			}
		}
	}
	run("ALTER TABLE records DROP COLUMN change", "DROP SEQUENCE changes", "DROP TABLE receivers",
		"DELETE FROM schema_versions WHERE version_id = 3")
	put(first, "c") // it works with the older schema
	second := opened(t, s.DSN())
	put(second, "e")
	const stored = "cluster, kind, uid, epoch, revision, removed, namespace, name, node, code, class, terms, document"
	run("CREATE TEMPORARY TABLE staged (LIKE records, gone boolean NOT NULL)",
		"INSERT INTO staged ("+stored+`, gone) VALUES ('c', 'Pod', 'd', 1, 1, '2026-11-20 12:00:00+00', '',
			'', '', '', '', '{}', '{}', false)`,
		"INSERT INTO records ("+stored+") SELECT "+stored+" FROM staged")
	put(second, "0")

	changes, err := second.Changes(t.Context(), "", "c", archive.Mark{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.Mark.UID)
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "e", "d", "0"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// A reader that has got into what has no number goes on there.
	rest, err := second.Changes(t.Context(), "", "c", archive.Mark{UID: "b"}, 1)
	if err != nil || len(rest) != 1 || rest[0].Mark.UID != "c" {
		t.Errorf("after b comes %+v, %v", rest, err)
	}
}
