package main

import (
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// docs is where descriptions send whoever wants to know more.
const docs = "https://github.com/epitaph-k8s/epitaph/blob/main/docs/"

// fleet is the dashboard: all clusters that one Prometheus knows, or those that are chosen. It is in
// the classic format, which every Grafana imports and its sidecar reads.
//
//nolint:staticcheck // The newer format, which the library prefers, needs Grafana 12.
func fleet() *dashboard.DashboardBuilder {
	b := dashboard.NewDashboardBuilder("Epitaph").Uid("epitaph").
		Description("What left the clusters, why, and whether Epitaph is well. "+docs+"metrics.md").
		Tags([]string{"epitaph", "kubernetes"}).
		Time("now-6h", "now").Refresh("1m").Timezone(common.TimeZoneBrowser).Readonly().
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").
			Type("prometheus")).
		WithVariable(chosen("cluster", "Cluster",
			"The label by which a central Prometheus tells clusters apart. With one cluster there is none.",
			"label_values(epitaph_build_info, cluster)")).
		WithVariable(chosen("namespace", "Namespace", "The namespaces that Epitaph runs in.",
			`label_values(epitaph_build_info{cluster=~"$cluster"}, namespace)`)).
		Annotation(happening("Kernel panics", "red",
			"increase(epitaph_netconsole_panics_total{verdict=\"dead\"}[2m])",
			"{{cluster}}: a kernel panicked")).
		Annotation(happening("Nodes that left", "orange",
			"increase(epitaph_audit_node_obituaries_total{outcome=~\"written|reduced\"}[2m])",
			"{{cluster}}: a node left")).
		Link(dashboard.NewDashboardLinkBuilder("Runbooks").Type(dashboard.DashboardLinkTypeLink).
			Url(docs + "runbooks.md").TargetBlank(true))
	for _, row := range rows() {
		b.WithRow(dashboard.NewRowBuilder(row.title))
		for _, p := range row.panels {
			b.WithPanel(p)
		}
	}
	return b
}

// source is the Prometheus that is chosen.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}

// chosen is a variable for values of a label: by default all of them, and whatever has none.
func chosen(name, label, describes, query string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Description(describes).
		Datasource(source()).Query(dashboard.StringOrMap{String: &query}).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(".*").
		Current(dashboard.VariableOption{
			Text:  dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
			Value: dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}}})
}

// happening marks on all panels when something grew.
func happening(name, color, grew, text string) *dashboard.AnnotationQueryBuilder {
	return dashboard.NewAnnotationQueryBuilder().Name(name).Enable(true).IconColor(color).
		Datasource(source()).Expr(fmt.Sprintf("sum by (cluster) (%s) > 0", ofChosen(grew))).
		Step("60s").TitleFormat(text).TagKeys("cluster")
}

// ofChosen has an expression ask for the chosen clusters and namespaces alone.
func ofChosen(expr string) string {
	const of = `cluster=~"$cluster",namespace=~"$namespace"`
	var out strings.Builder
	for expr != "" {
		m := metric.FindStringSubmatchIndex(expr)
		if m == nil {
			out.WriteString(expr)
			break
		}
		name, matchers := expr[m[2]:m[3]], ""
		if m[4] >= 0 {
			matchers = "," + expr[m[4]:m[5]]
		}
		out.WriteString(expr[:m[0]] + name + "{" + of + matchers + "}")
		expr = expr[m[1]:]
	}
	return out.String()
}
