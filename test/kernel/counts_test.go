//go:build linux

package kernel

import (
	"context"
	"testing"

	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// counts are what a listener has counted: datagrams by outcome and panics by verdict, which have no
// word in common but one.
type counts struct{ outcomes, verdicts map[string]float64 }

func read(ctx context.Context, from *sandbox.Epitaph) (c counts, err error) {
	families, err := from.Metrics(ctx)
	if err != nil {
		return c, err
	}
	byLabel := func(metric string) map[string]float64 {
		all := map[string]float64{}
		for _, m := range families[metric].GetMetric() {
			all[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
		return all
	}
	return counts{outcomes: byLabel(netconsole.MetricDatagrams),
		verdicts: byLabel(netconsole.MetricPanics)}, nil
}

func mustRead(t *testing.T, from *sandbox.Epitaph) counts {
	t.Helper()
	c, err := read(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// since is what was counted after the earlier reading; what stayed the same is left out.
func (c counts) since(earlier counts) counts {
	return counts{outcomes: more(c.outcomes, earlier.outcomes),
		verdicts: more(c.verdicts, earlier.verdicts)}
}

func more(now, earlier map[string]float64) map[string]float64 {
	difference := map[string]float64{}
	for label, n := range now {
		if n != earlier[label] {
			difference[label] = n - earlier[label]
		}
	}
	return difference
}
