// Command dashboard writes the chart's dashboard for Grafana: charts/epitaph/files/dashboard.json.
//
//	go run . > ../../charts/epitaph/files/dashboard.json
//	go run . archive > ../../docs/examples/grafana-archive.json
//
// The second is an example, which asks the archive's PostgreSQL; archive/postgres tests what it asks.
// It is a module of its own, since Grafana's library is none of the product's. What each panel asks
// is tested by promtool, with the alerts (test/chart).
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	builder := fleet()
	if len(os.Args) > 1 && os.Args[1] == "archive" {
		builder = years()
	}
	board, err := builder.Build()
	if err == nil {
		number(board.Panels)
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", " ")
		err = encoder.Encode(board)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

// number gives each panel an identity of its own, by which links and permissions name it.
func number(panels []dashboard.PanelOrRowPanel) {
	for n, p := range panels {
		if id := uint32(n + 1); p.RowPanel != nil {
			p.RowPanel.Id = id
		} else {
			p.Panel.Id = cog.ToPtr(id)
		}
	}
}
