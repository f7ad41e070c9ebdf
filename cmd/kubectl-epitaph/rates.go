package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/cli-runtime/pkg/printers"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/rates"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

func (p *plugin) rate(ctx context.Context, f *historyFlags, c *cluster.Cluster,
	filter lookup.Filter, by []string, printer printers.ResourcePrinter) error {
	disrupted := filter
	if disrupted.Class == "" {
		disrupted.Class = reason.Disruption.String()
	}
	ends, err := c.Counts(ctx, archive.PodKind, disrupted, by)
	if err != nil {
		return err
	}
	exposed := filter
	exposed.Class, exposed.Code = "", ""
	hours, err := c.Hours(ctx, exposed, rates.Exposure(by))
	if err != nil {
		return err
	}
	exposed.Class = reason.Routine.String()
	routine, err := c.Counts(ctx, archive.PodKind, exposed, []string{string(archive.ByCode)})
	if err != nil {
		return err
	}
	all := rates.Of(by, ends, hours)
	if printer != nil {
		return p.printDocument(printer, f.output, ratesAsDocument(by, all))
	}
	if err := p.printRates(by, all); err != nil {
		return err
	}
	fmt.Fprintln(p.errOut, rates.Caveat)
	if !rates.RoutineIsRecorded(routine) {
		fmt.Fprintln(p.errOut, rates.Unrecorded)
	}
	return nil
}

func ratesAsDocument(by []string, of []rates.Rate) []map[string]any {
	all := make([]map[string]any, 0, len(of))
	for _, r := range of {
		row := map[string]any{"disruptions": r.Disruptions, "podHours": r.PodHours(),
			"gpuHours": r.GPUHours(), "pods": r.Hours.N,
			"podsOfUnknownHours": r.Hours.N - r.Hours.Known}
		if n, ok := r.PerThousand(); ok {
			row["per1000PodHours"] = n
		}
		for i, field := range by {
			row[field] = r.Of[i]
		}
		all = append(all, row)
	}
	return all
}

func (p *plugin) printRates(by []string, all []rates.Rate) error {
	if len(all) == 0 {
		fmt.Fprintln(p.errOut, "The archive has nothing that matches these flags.")
		return nil
	}
	rows := make([][]string, 0, len(all))
	for _, r := range all {
		row := make([]string, 0, len(by)+3)
		for _, value := range r.Of {
			row = append(row, orDash(value))
		}
		per := "-"
		if n, ok := r.PerThousand(); ok {
			per = strconv.FormatFloat(n, 'f', 2, 64)
		}
		rows = append(rows, append(row, strconv.FormatInt(r.Disruptions, 10),
			strconv.FormatFloat(r.PodHours(), 'f', 1, 64), per))
	}
	return terminal.Table(p.out, append(upper(by), "DISRUPTIONS", "POD-HOURS", "PER 1,000 H"), rows)
}

func upper(fields []string) []string {
	all := make([]string, 0, len(fields))
	for _, field := range fields {
		all = append(all, strings.ToUpper(field))
	}
	return all
}
