package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-jsonnet"
)

// The mixin has the chart's alerts and dashboard.
func TestMixin(t *testing.T) {
	t.Parallel()
	text, err := jsonnet.MakeVM().EvaluateAnonymousSnippet("test.jsonnet", `
		local m = (import '../../charts/mixin/mixin.libsonnet') + { _config+:: { archive: true } };
		{ alerts: m.prometheusAlerts, dashboards: m.grafanaDashboards }`)
	if err != nil {
		t.Fatal(err)
	}
	var mixin struct {
		Alerts struct {
			Groups []struct{ Rules []struct{ Alert string } }
		}
		Dashboards map[string]struct{ Panels []any }
	}
	if err := json.Unmarshal([]byte(text), &mixin); err != nil {
		t.Fatal(err)
	}
	if len(mixin.Alerts.Groups) != 2 {
		t.Fatalf("it has %d groups of alerts, want 2", len(mixin.Alerts.Groups))
	}
	for n, file := range []string{"alerts.yaml", "alerts-archive.yaml"} {
		chart, err := os.ReadFile("../../charts/epitaph/files/" + file)
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Count(chart, []byte("- alert: "))
		if got := len(mixin.Alerts.Groups[n].Rules); got != want || want == 0 {
			t.Errorf("it has %d alerts of %s, want %d", got, file, want)
		}
	}
	if got := len(mixin.Dashboards["epitaph.json"].Panels); got < 20 {
		t.Errorf("its dashboard has %d panels", got)
	}
}

// Every panel says what it shows, and asks for what is chosen alone.
func TestPanels(t *testing.T) {
	t.Parallel()
	for _, row := range rows() {
		for _, b := range row.panels {
			p, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			if p.Description == nil || *p.Description == "" || len(p.Targets) == 0 {
				t.Errorf("%s: panel %q has no description, or asks nothing", row.title, *p.Title)
			}
			for _, target := range p.Targets {
				text, err := json.Marshal(target)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(text), `cluster=~\"$cluster\"`) {
					t.Errorf("panel %q asks about all clusters: %s", *p.Title, text)
				}
			}
		}
	}
}

func TestOfChosen(t *testing.T) {
	t.Parallel()
	const of = `{cluster=~"$cluster",namespace=~"$namespace"`
	for expr, want := range map[string]string{
		"max(epitaph_a)":                    "max(epitaph_a" + of + "})",
		`epitaph_a{b="c"} - time()`:         "epitaph_a" + of + `,b="c"} - time()`,
		"epitaph_a[5m] + leader_election_b": "epitaph_a" + of + "}[5m] + leader_election_b" + of + "}",
		"vector(0)":                         "vector(0)",
	} {
		if got := ofChosen(expr); got != want {
			t.Errorf("of %s it makes %s, want %s", expr, got, want)
		}
	}
}
