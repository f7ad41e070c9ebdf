package postgres_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/epitaph-k8s/epitaph/archive"
	server "github.com/epitaph-k8s/epitaph/test/postgres"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// macros are what Grafana makes of its own words (pkg/tsdb/grafana-postgresql-datasource/macros.go).
var macros = strings.NewReplacer(
	"$__timeFilter(removed)", "removed BETWEEN '2026-01-01T00:00:00Z' AND '2026-12-31T00:00:00Z'",
	"$__timeGroupAlias(removed, '1d')", `floor(extract(epoch from removed)/86400)*86400 AS "time"`,
	"${cluster:sqlstring}", "'c','d''s'")

// The example of a dashboard asks for what is there: each panel finds something.
func TestDashboardAsksWhatIsThere(t *testing.T) {
	t.Parallel()
	s := server.ForTest(t)
	store := opened(t, s.DSN())
	if err := store.Claim(t.Context(), "c", "id"); err != nil {
		t.Fatal(err)
	}
	if err := store.Reach(t.Context(), "", "c", "siem", archive.Mark{}); err != nil {
		t.Fatal(err)
	}
	for _, kind := range archive.Kinds() {
		b := archive.Batch{Cluster: "c", Kind: kind}
		for _, uid := range []string{"1", "2"} {
			b.Records = append(b.Records, archive.Record{Cluster: "c", Kind: kind, UID: string(kind) + uid,
				Epoch: 1, Revision: 1, Removed: storetest.Now, Namespace: "batch", Node: "n1",
				Code: "KernelPanic", Class: "disruption", Document: []byte(`{"spec": {"reason": "x"}}`)})
		}
		if err := store.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("../../docs/examples/grafana-archive.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ RawSQL string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	asked := map[string]string{}
	for _, p := range board.Panels {
		asked[p.Title] = p.Targets[0].RawSQL
	}
	for _, v := range board.Templating.List {
		if v.Name == "cluster" {
			asked["the variable"] = v.Query
		}
	}
	conn, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for title, sql := range asked {
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM ("+macros.Replace(sql)+") x").Scan(&n); err != nil {
			t.Errorf("%s: %v", title, err)
		} else if n == 0 {
			t.Errorf("%s finds nothing", title)
		}
	}
	if len(asked) != 8 {
		t.Errorf("%d panels and variables are asked about, want 8", len(asked))
	}
}
