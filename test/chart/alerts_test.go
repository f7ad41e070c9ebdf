package chart

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/test/binaries"
)

// alertTests is what each alert fires on, and what it does not.
const alertTests = "testdata/alerts.yaml"

// A ruleTest is as much of promtool's tests as is looked at here.
type ruleTest struct {
	Name        string           `json:"name"`
	Interval    string           `json:"interval"`
	InputSeries []map[string]any `json:"input_series"`
	AlertTests  []struct {
		Alert string           `json:"alertname"`
		Fires []map[string]any `json:"exp_alerts"`
	} `json:"alert_rule_test,omitempty"`
	ExprTests []exprTest `json:"promql_expr_test,omitempty"`
}

type exprTest struct {
	Expr    string           `json:"expr"`
	At      string           `json:"eval_time"`
	Samples []map[string]any `json:"exp_samples"`
}

// Prometheus itself says what the alerts do, and whether the panels of the dashboard show anything.
func TestAlerts(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("SKIPPED by -short: promtool is missing, which make test-chart builds")
	}
	programs, err := binaries.Ensure(t.Context(), os.Stdout, binaries.PromTools)
	must(t, err)
	files, err := filepath.Abs(filepath.Join("..", "..", "charts", "epitaph", "files"))
	must(t, err)
	promtool := func(args ...string) {
		t.Helper()
		if said, err := exec.CommandContext(t.Context(), programs["promtool"],
			args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args[:2], " "), err, said)
		}
	}
	rules := []string{filepath.Join(files, "alerts.yaml"), filepath.Join(files, "alerts-archive.yaml")}
	promtool(append([]string{"check", "rules", "--lint-fatal"}, rules...)...)
	promtool("test", "rules", alertTests)
	promtool("test", "rules", fleetTests(t, rules))
	var tests struct{ Tests []ruleTest }
	readFile(t, alertTests, &tests)
	for _, file := range rules {
		everyAlertIsTested(t, file, tests.Tests)
	}
	promtool("test", "rules", panelTests(t, filepath.Join(files, "dashboard.json"), tests.Tests[0]))
}

// fleetTests are the tests of the alerts once more, in one of two clusters that a central Prometheus
// reads: each alert must say in which, and not be silenced by the other, where all is well. It
// returns their path.
func fleetTests(t *testing.T, alerts []string) string {
	t.Helper()
	var tests struct {
		Rules    []string         `json:"rule_files"`
		Interval string           `json:"evaluation_interval"`
		Tests    []map[string]any `json:"tests"`
	}
	readFile(t, alertTests, &tests)
	tests.Rules = alerts
	healthy := tests.Tests[0]["input_series"].([]any)
	var fleet []map[string]any
	for _, test := range tests.Tests {
		var series []any
		for _, s := range test["input_series"].([]any) {
			series = append(series, inCluster("east", s.(map[string]any)))
		}
		// Of what was never there, nobody can say where it is missing.
		if name := series[0].(map[string]any)["series"].(string); strings.HasPrefix(name, "up{") {
			continue
		}
		for _, s := range healthy {
			series = append(series, inCluster("west", s.(map[string]any)))
		}
		test["input_series"] = series
		for _, a := range test["alert_rule_test"].([]any) {
			for _, alert := range a.(map[string]any)["exp_alerts"].([]any) {
				labels := alert.(map[string]any)["exp_labels"].(map[string]any)
				labels["cluster"], labels["namespace"] = "east", namespaceOfFleet
			}
		}
		fleet = append(fleet, test)
	}
	tests.Tests = fleet
	content, err := json.Marshal(tests)
	must(t, err)
	file := filepath.Join(t.TempDir(), "fleet.yaml")
	must(t, os.WriteFile(file, content, 0o600))
	return file
}

const namespaceOfFleet = "epitaph-system"

// inCluster is a series as a central Prometheus has it.
func inCluster(name string, series map[string]any) map[string]any {
	metric, labels, _ := strings.Cut(strings.TrimSuffix(series["series"].(string), "}"), "{")
	if labels != "" {
		labels = "," + labels
	}
	return map[string]any{"values": series["values"], "series": fmt.Sprintf(
		`%s{cluster=%q,namespace=%q%s}`, metric, name, namespaceOfFleet, labels)}
}

// everyAlertIsTested wants each to fire somewhere, and to be silent in the healthy installation,
// which is the first test.
func everyAlertIsTested(t *testing.T, file string, tests []ruleTest) {
	t.Helper()
	var rules struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	readFile(t, file, &rules)
	silent, fires := map[string]bool{}, map[string]bool{}
	for n, test := range tests {
		for _, a := range test.AlertTests {
			fires[a.Alert] = fires[a.Alert] || len(a.Fires) > 0
			silent[a.Alert] = silent[a.Alert] || n == 0 && len(a.Fires) == 0
		}
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if !fires[rule.Alert] || !silent[rule.Alert] {
				t.Errorf(
					"%s does not test both: that %s fires, and that it is silent where all is well",
					alertTests, rule.Alert)
			}
		}
	}
}

// asChosen puts what Grafana puts for the dashboard's variables, where nothing is chosen.
var (
	asChosen = strings.NewReplacer("$cluster", ".*", "$namespace", ".*", "$__rate_interval", "5m",
		"$__range", "6h")
	onlyIfWrong = regexp.MustCompile(` (>|==) 0$`)
)

// panelTests writes a test that each panel and each annotation has something of the healthy
// installation, and returns its path.
func panelTests(t *testing.T, dashboard string, healthy ruleTest) string {
	t.Helper()
	var board struct {
		Panels      []struct{ Targets []struct{ Expr string } }
		Annotations struct{ List []struct{ Expr string } }
	}
	readFile(t, dashboard, &board)
	healthy.AlertTests = nil
	ask := func(expr string) {
		// What is shown only where something is wrong is asked for without that condition.
		expr = onlyIfWrong.ReplaceAllString(asChosen.Replace(expr), "")
		healthy.ExprTests = append(healthy.ExprTests, exprTest{
			Expr: "count(" + expr + ") > bool 0", At: "1h",
			Samples: []map[string]any{{"labels": "{}", "value": 1}},
		})
	}
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			ask(target.Expr)
		}
	}
	for _, a := range board.Annotations.List {
		ask(a.Expr)
	}
	if len(healthy.ExprTests) == 0 {
		t.Error("the dashboard has no panel")
	}
	content, err := json.Marshal(map[string]any{"evaluation_interval": "1m",
		"tests": []ruleTest{healthy}})
	must(t, err)
	file := filepath.Join(t.TempDir(), "panels.yaml")
	must(t, os.WriteFile(file, content, 0o600))
	return file
}

func readFile(t *testing.T, name string, into any) {
	t.Helper()
	content, err := os.ReadFile(name)
	must(t, err)
	must(t, yaml.Unmarshal(content, into))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
