package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/cli-runtime/pkg/printers"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/cluster"
	"github.com/epitaph-k8s/epitaph/cmd/kubectl-epitaph/terminal"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/story/lookup"
)

// A rate is how often pods of the same values were disrupted, beside how long they were there.
type rate struct {
	of          []string
	disruptions int64
	hours       archive.Hours
}

// perThousand is the number for 1,000 pod-hours; ok is false without any hours.
func (r rate) perThousand() (n float64, ok bool) {
	if r.hours.Seconds == 0 {
		return 0, false
	}
	return float64(r.disruptions) / hoursOf(r.hours.Seconds) * 1000, true
}

func hoursOf(seconds int64) float64 { return float64(seconds) / 3600 }

// causes are the fields that say how a pod ended. The others say where pods are exposed to an end:
// hours are counted by these.
var causes = []string{string(archive.ByCode), string(archive.ByClass)}

// usual are the codes of routine ends that are recorded by default. Where there are no others,
// audit.classes has no routine ends.
var usual = []reason.Code{reason.UserRequest, reason.LimitExceeded, reason.DeadlineExceeded,
	reason.JobFailed, reason.OwnerDeleted, reason.Suspended}

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
	where := slices.DeleteFunc(slices.Clone(by),
		func(field string) bool { return slices.Contains(causes, field) })
	hours, err := c.Hours(ctx, exposed, where)
	if err != nil {
		return err
	}
	exposed.Class = reason.Routine.String()
	routine, err := c.Counts(ctx, archive.PodKind, exposed, []string{string(archive.ByCode)})
	if err != nil {
		return err
	}
	rates := ratesOf(by, where, ends, hours)
	if printer != nil {
		return p.printDocument(printer, f.output, ratesAsDocument(by, rates))
	}
	if err := p.printRates(by, rates); err != nil {
		return err
	}
	fmt.Fprintln(p.errOut, "Pod-hours are those of pods that have left and are recorded: docs/archive.md says what that leaves out.")
	if !slices.ContainsFunc(routine, func(n archive.Count) bool {
		return !slices.Contains(usual, reason.Code(n.Of[0]))
	}) {
		fmt.Fprintln(p.errOut, "Routine ends are not recorded (audit.classes): these are the hours of pods that ended badly, and the rates are far too high.")
	}
	return nil
}

// ratesOf joins the ends with the hours of where they were.
func ratesOf(by, where []string, ends []archive.Count, hours []archive.Hours) []rate {
	key := func(of []string) string { return strings.Join(of, "\x00") }
	exposure := map[string]archive.Hours{}
	for _, h := range hours {
		exposure[key(h.Of)] = h
	}
	var rates []rate
	seen := map[string]bool{}
	for _, n := range ends {
		var of []string
		for i, field := range by {
			if slices.Contains(where, field) {
				of = append(of, n.Of[i])
			}
		}
		seen[key(of)] = true
		rates = append(rates, rate{n.Of, n.N, exposure[key(of)]})
	}
	if len(where) == len(by) { // where nothing was disrupted, that is a result
		for _, h := range hours {
			if !seen[key(h.Of)] {
				rates = append(rates, rate{h.Of, 0, h})
			}
		}
	}
	return rates
}

func ratesAsDocument(by []string, rates []rate) []map[string]any {
	all := make([]map[string]any, 0, len(rates))
	for _, r := range rates {
		row := map[string]any{"disruptions": r.disruptions, "podHours": hoursOf(r.hours.Seconds),
			"gpuHours": hoursOf(r.hours.GPUSeconds), "pods": r.hours.N,
			"podsOfUnknownHours": r.hours.N - r.hours.Known}
		if n, ok := r.perThousand(); ok {
			row["per1000PodHours"] = n
		}
		for i, field := range by {
			row[field] = r.of[i]
		}
		all = append(all, row)
	}
	return all
}

func (p *plugin) printRates(by []string, rates []rate) error {
	if len(rates) == 0 {
		fmt.Fprintln(p.errOut, "The archive has nothing that matches these flags.")
		return nil
	}
	rows := make([][]string, 0, len(rates))
	for _, r := range rates {
		row := make([]string, 0, len(by)+3)
		for _, value := range r.of {
			row = append(row, orDash(value))
		}
		per := "-"
		if n, ok := r.perThousand(); ok {
			per = strconv.FormatFloat(n, 'f', 2, 64)
		}
		rows = append(rows, append(row, strconv.FormatInt(r.disruptions, 10),
			strconv.FormatFloat(hoursOf(r.hours.Seconds), 'f', 1, 64), per))
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
