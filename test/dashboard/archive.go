package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// postgres is the type of Grafana's data source, and database the one that is chosen.
const postgres = "grafana-postgresql-datasource"

func database() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr(postgres), Uid: cog.ToPtr("${datasource}")}
}

// inRange are the records of the chosen clusters within the time shown.
const inRange = " FROM records WHERE cluster IN (${cluster:sqlstring}) AND $__timeFilter(removed)"

// years is an example: a dashboard of what the archive has in PostgreSQL.
//
//nolint:staticcheck // The newer format, which the library prefers, needs Grafana 12.
func years() *dashboard.DashboardBuilder {
	clusters := "SELECT name FROM clusters ORDER BY name"
	return dashboard.NewDashboardBuilder("Epitaph: the archive").Uid("epitaph-archive").
		Description("What left the clusters, and why, over years. "+docs+"archive.md").
		Tags([]string{"epitaph", "kubernetes"}).
		Time("now-1y", "now").Timezone(common.TimeZoneBrowser).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("PostgreSQL").
			Type(postgres)).
		WithVariable(dashboard.NewQueryVariableBuilder("cluster").Label("Cluster").
			Datasource(database()).Query(dashboard.StringOrMap{String: &clusters}).
			Refresh(dashboard.VariableRefreshOnDashboardLoad).Multi(true).IncludeAll(true)).
		WithPanel(perDay("Pods that left, by code", "kind = 'Pod'", "code")).
		WithPanel(perDay("Nodes that left, by code", "kind = 'Node'", "code")).
		WithPanel(perDay("Disruptions of pods, by cluster",
			"kind = 'Pod' AND class = 'disruption'", "cluster")).
		WithPanel(rowsOf("Namespaces with most disruptions", 12,
			"SELECT cluster, namespace, count(*) AS pods"+inRange+
				" AND kind = 'Pod' AND class = 'disruption' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 100")).
		WithPanel(rowsOf("Nodes that died more than once", 12,
			"SELECT cluster, node, count(*) AS times, max(removed) AS last"+inRange+
				" AND kind = 'Node' AND class = 'disruption' GROUP BY 1, 2 HAVING count(*) > 1 ORDER BY 3 DESC LIMIT 100")).
		WithPanel(rowsOf("Receivers", 12, "SELECT r.cluster, r.name, "+
			"(SELECT count(*) FROM records s WHERE s.cluster = r.cluster AND (s.change, s.uid) > (r.change, r.uid)) AS waiting "+
			"FROM receivers r WHERE r.cluster IN (${cluster:sqlstring}) ORDER BY 3 DESC")).
		WithPanel(rowsOf("What left last", 24,
			"SELECT removed, cluster, kind, namespace, name, node, code, document->'spec'->>'reason' AS reason"+
				inRange+" ORDER BY removed DESC LIMIT 200"))
}

// A query asks PostgreSQL.
type query variants.UnknownDataquery

// Build returns it as the library wants it.
func (q query) Build() (variants.Dataquery, error) { return variants.UnknownDataquery(q), nil }

func sql(format, text string) query {
	return query{"refId": "A", "datasource": database(), "format": format, "rawQuery": true,
		"editorMode": "code", "rawSql": text}
}

func perDay(title, of, by string) cog.Builder[dashboard.Panel] {
	return timeseries.NewPanelBuilder().Title(title).Datasource(database()).Span(12).Height(height).
		DrawStyle(common.GraphDrawStyleBars).FillOpacity(60).
		WithTarget(sql("time_series", "SELECT $__timeGroupAlias(removed, '1d'), "+by+
			" AS metric, count(*) AS value"+inRange+" AND "+of+" GROUP BY 1, 2 ORDER BY 1"))
}

func rowsOf(title string, span uint32, text string) cog.Builder[dashboard.Panel] {
	return table.NewPanelBuilder().Title(title).Datasource(database()).Span(span).Height(height).
		WithTarget(sql("table", text))
}
