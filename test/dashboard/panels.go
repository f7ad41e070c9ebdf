package main

import (
	"fmt"
	"regexp"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// metric is the name of a metric in an expression, with its matchers.
var metric = regexp.MustCompile(`\b((?:epitaph|leader_election)_[a-z_]+)(?:\{([^}]*)\})?`)

const height = 8

type row struct {
	title  string
	panels []cog.Builder[dashboard.Panel]
}

func rows() []row {
	return []row{
		{"Fleet", append(numbers(), clusters())},
		{"Why pods left", causes()},
		{"Webhook", decisions()},
		{"Nodes", nodes()},
		{"Agents", agents()},
		{"Records and certificates", records()},
	}
}

// numbers are what is looked at first.
func numbers() (all []cog.Builder[dashboard.Panel]) {
	for _, n := range []struct {
		title, says, expr string
		bad               bool // if it is not 0
	}{
		{"Clusters", "Those with a manager that reports.",
			"count(count by (cluster, namespace) (epitaph_audit_definitions_missing))", false},
		{"Pods that left", "Within the time shown.",
			"sum(increase(epitaph_audit_pods_left_total[$__range]))", false},
		{"Left without a reason", "Pods and nodes: findings of the audit. `kubectl epitaph audit` says whose.",
			"sum(increase(epitaph_audit_findings_total[$__range])) + sum(increase(epitaph_audit_node_findings_total[$__range]))", true},
		{"Kernel panics", "Those that were proven, and acted upon.",
			`sum(increase(epitaph_netconsole_panics_total{verdict="dead"}[$__range]))`, false},
		{"Nodes held by the brake", "Their pods wait: " + docs + "gc.md#the-brake",
			"sum(max by (cluster, namespace) (epitaph_gc_nodes_held))", true},
		{"Without a leader", "Installations in which no replica leads: nothing is collected or recorded there.",
			`sum(1 - max by (cluster, namespace) (leader_election_master_status{name="epitaph"}))`, true},
	} {
		color := dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)
		steps := []dashboard.Threshold{{Color: "text"}}
		if n.bad {
			steps = append(steps, dashboard.Threshold{Value: cog.ToPtr[float64](1), Color: "red"})
		}
		all = append(all, stat.NewPanelBuilder().Title(n.title).Description(n.says).
			Datasource(source()).Span(4).Height(4).Unit(units.Short).Decimals(0).
			ColorScheme(color).Thresholds(dashboard.NewThresholdsConfigBuilder().
			Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)).
			WithTarget(now(n.expr)))
	}
	return all
}

// clusters has a line for each installation.
func clusters() cog.Builder[dashboard.Panel] {
	columns := []column{
		{"Pods left", "sum by (cluster, namespace) (increase(epitaph_audit_pods_left_total[$__range]))"},
		{"Without a reason", "sum by (cluster, namespace) (increase(epitaph_audit_findings_total[$__range]))"},
		{"Panics", `sum by (cluster, namespace) (increase(epitaph_netconsole_panics_total{verdict="dead"}[$__range]))`},
		{"Nodes held", "max by (cluster, namespace) (epitaph_gc_nodes_held)"},
		{"Replicas", "count by (cluster, namespace) (epitaph_audit_definitions_missing)"},
		{"Leaders", `sum by (cluster, namespace) (leader_election_master_status{name="epitaph"})`},
		{"Agent faults", "sum by (cluster, namespace) (epitaph_agent_faults)"},
		{"Policy refused", "max by (cluster, namespace) (epitaph_policy_refused)"},
		{"Certificate, days", "(min by (cluster, namespace) (epitaph_certificate_expiry_timestamp_seconds) - time()) / 86400"},
	}
	return listing("Clusters", "One line for each installation; counts are those of the time shown.",
		24, columns)
}

func causes() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph("Pods that left, by code", "What each code means: "+docs+"reasons.md", units.OpsPerSecond,
			line{"sum by (code) (rate(epitaph_audit_pods_left_total[$__rate_interval]))", "{{code}}"}),
		graph("Disruptions, by cluster", "Pods that the platform cut off.", units.OpsPerSecond,
			line{`sum by (cluster) (rate(epitaph_audit_pods_left_total{class="disruption"}[$__rate_interval]))`, "{{cluster}}"}),
		listing("Causes", "Of all pods that left within the time shown.", 12, []column{{"Pods",
			"sum by (cluster, code, class) (increase(epitaph_audit_pods_left_total[$__range]))"}}),
		graph("Left without a reason", "By whom: a person, a program, or somebody unknown.",
			units.OpsPerSecond,
			line{"sum by (by) (rate(epitaph_audit_findings_total[$__rate_interval]))", "pods, {{by}}"},
			line{"sum by (by) (rate(epitaph_audit_node_findings_total[$__rate_interval]))", "nodes, {{by}}"}),
	}
}

func decisions() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph("Decisions", "What each action means: "+docs+"metrics.md#webhook", units.OpsPerSecond,
			line{"sum by (action) (rate(epitaph_webhook_decisions_total[$__rate_interval]))", "{{action}}"}),
		graph("Duration, 99th percentile", "What a deletion waits for Epitaph. Above 0.1 s, see EpitaphWebhookSlow.",
			units.Seconds,
			line{"histogram_quantile(0.99, sum by (cluster, le) (rate(epitaph_webhook_duration_seconds_bucket[$__rate_interval])))", "{{cluster}}"}),
		graph("Faults", "Deletions that went by failurePolicy.", units.OpsPerSecond,
			line{`sum by (cluster) (rate(epitaph_webhook_duration_seconds_count{action="fault"}[$__rate_interval]))`, "{{cluster}}"}),
		graph("Rules", "Which rule decided.", units.OpsPerSecond,
			line{"sum by (rule) (rate(epitaph_webhook_decisions_total[$__rate_interval]))", "{{rule}}"}),
	}
}

func nodes() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph("Panics heard", "By verdict: "+docs+"security.md", units.Short,
			line{"sum by (cluster, verdict) (increase(epitaph_netconsole_panics_total[$__rate_interval]))", "{{cluster}} {{verdict}}"}),
		graph("From a panic to the end of each step, 99th percentile", "The last step is the end of the Node.",
			units.Seconds,
			line{"histogram_quantile(0.99, sum by (le, step) (rate(epitaph_netconsole_step_seconds_bucket[$__rate_interval])))", "{{step}}"}),
		graph("Orphans ended", "By what the built-in collector would call the cause.", units.OpsPerSecond,
			line{"sum by (cause, code) (rate(epitaph_gc_pods_terminated_total[$__rate_interval]))", "{{cause}} {{code}}"}),
		graph("Nodes whose pods are held", "The brake: "+docs+"gc.md#the-brake", units.Short,
			line{"max by (cluster, namespace) (epitaph_gc_nodes_held)", "{{cluster}}"}),
	}
}

func agents() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph("Agents", "Those that report, and those whose kernel sends to nobody.", units.Short,
			line{"count by (cluster) (epitaph_agent_targets)", "{{cluster}}"},
			line{"sum by (cluster) (epitaph_agent_targets == bool 0)", "{{cluster}}: sends to nobody"}),
		graph("How the last boots ended", "Of the nodes as they run now.", units.Short,
			line{"sum by (ended) (epitaph_agent_last_boot)", "{{ended}}"}),
		listing("Agents at fault", "The remedies: "+docs+"agent.md", 24, []column{{"Fault",
			"max by (cluster, node, fault) (epitaph_agent_faults) > 0"}}),
	}
}

func records() []cog.Builder[dashboard.Panel] {
	return []cog.Builder[dashboard.Panel]{
		graph("From the deletion to the record, 99th percentile", "Above 10 s, see EpitaphObituariesLate.",
			units.Seconds,
			line{"histogram_quantile(0.99, sum by (cluster, le) (rate(epitaph_audit_lag_seconds_bucket[$__rate_interval])))", "{{cluster}}"}),
		graph("Records of pods", "By outcome: "+docs+"metrics.md#audit", units.OpsPerSecond,
			line{"sum by (outcome) (rate(epitaph_audit_obituaries_total[$__rate_interval]))", "{{outcome}}"}),
		graph("Archive: behind", "Since when the archive may lack something.", units.Seconds,
			line{"time() - min by (cluster, of) (epitaph_archive_reached_timestamp_seconds)", "{{cluster}} {{of}}"}),
		graph("Certificates: days until they expire and are renewed", docs+"install.md#the-certificate",
			units.Days,
			line{"(min by (cluster) (epitaph_certificate_expiry_timestamp_seconds) - time()) / 86400", "{{cluster}}: expires"},
			line{"(min by (cluster, name) (epitaph_certificate_renewal_timestamp_seconds) - time()) / 86400", "{{cluster}}: {{name}} is renewed"}),
		graph("Certificates: 1 issued, 0 not, -1 not known", "What cert-manager says.", units.Short,
			line{"min by (cluster, name) (epitaph_certificate_ready)", "{{cluster}}: {{name}}"}),
	}
}

type line struct{ expr, legend string }

func graph(title, says, unit string, lines ...line) cog.Builder[dashboard.Panel] {
	p := timeseries.NewPanelBuilder().Title(title).Description(says).Datasource(source()).
		Unit(unit).Span(12).Height(height).FillOpacity(10).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending))
	for n, l := range lines {
		p.WithTarget(prometheus.NewDataqueryBuilder().Expr(ofChosen(l.expr)).
			LegendFormat(l.legend).RefId(refID(n)))
	}
	return p
}

type column struct{ title, expr string }

// listing is a table: what its columns have in common names the lines.
func listing(title, says string, span uint32, columns []column) cog.Builder[dashboard.Panel] {
	renamed := map[string]string{"cluster": "Cluster", "namespace": "Namespace", "code": "Code",
		"class": "Class", "node": "Node", "fault": "Code of the fault"}
	p := table.NewPanelBuilder().Title(title).Description(says).Datasource(source()).
		Span(span).Height(height).Decimals(0).Filterable(true)
	for n, c := range columns {
		p.WithTarget(now(c.expr).Format(prometheus.PromQueryFormatTable).RefId(refID(n)))
		name := "Value #" + refID(n)
		if len(columns) == 1 {
			name = "Value"
		}
		renamed[name] = c.title
	}
	return p.WithTransformation(dashboard.DataTransformerConfig{Id: "merge",
		Options: map[string]any{}}).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]bool{"Time": true}, "renameByName": renamed}}).
		SortBy([]cog.Builder[common.TableSortByFieldState]{
			common.NewTableSortByFieldStateBuilder().DisplayName(columns[0].title).Desc(true)})
}

// now asks for the present value.
func now(expr string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Expr(ofChosen(expr)).Instant().RefId("A")
}

func refID(n int) string { return fmt.Sprintf("%c", 'A'+n) }
