package chart

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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
	var tests struct{ Tests []ruleTest }
	readFile(t, alertTests, &tests)
	for _, file := range rules {
		everyAlertIsTested(t, file, tests.Tests)
	}
	promtool("test", "rules", panelTests(t, filepath.Join(files, "dashboard.json"), tests.Tests[0]))
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

// panelTests writes a test that each panel shows something of the healthy installation, and returns
// its path.
func panelTests(t *testing.T, dashboard string, healthy ruleTest) string {
	t.Helper()
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	readFile(t, dashboard, &board)
	healthy.AlertTests = nil
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			healthy.ExprTests = append(healthy.ExprTests, exprTest{
				Expr: "count(" + target.Expr + ") > bool 0", At: "1h",
				Samples: []map[string]any{{"labels": "{}", "value": 1}},
			})
		}
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
