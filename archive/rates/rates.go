// Package rates sets disruptions against the hours for which pods were there: by team, pool or
// kernel, a number that says where it is worse.
//
// What this package does not do: ask the archive.
package rates

import (
	"slices"
	"strings"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/reason"
)

// A Rate is how often pods of the same values were disrupted, beside how long they were there.
type Rate struct {
	// Of are the values, in the order of the fields that were counted by.
	Of          []string
	Disruptions int64
	Hours       archive.Hours
}

// PodHours is for how many hours they were there.
func (r Rate) PodHours() float64 { return hours(r.Hours.Seconds) }

// GPUHours is for how many hours they held GPUs, each counted.
func (r Rate) GPUHours() float64 { return hours(r.Hours.GPUSeconds) }

// PerThousand is the number for 1,000 pod-hours; ok is false without any hours.
func (r Rate) PerThousand() (n float64, ok bool) {
	if r.Hours.Seconds == 0 {
		return 0, false
	}
	return float64(r.Disruptions) / r.PodHours() * 1000, true
}

func hours(seconds int64) float64 { return float64(seconds) / 3600 }

// causes are the fields that say how a pod ended. The others say where pods are exposed to an end.
var causes = []string{string(archive.ByCode), string(archive.ByClass)}

// Exposure returns those of the fields by which hours are counted.
func Exposure(by []string) []string {
	return slices.DeleteFunc(slices.Clone(by),
		func(field string) bool { return slices.Contains(causes, field) })
}

// Of joins the ends, which were counted by some fields, with the hours, which were counted by their
// [Exposure].
func Of(by []string, ends []archive.Count, all []archive.Hours) []Rate {
	key := func(of []string) string { return strings.Join(of, "\x00") }
	exposure := map[string]archive.Hours{}
	for _, h := range all {
		exposure[key(h.Of)] = h
	}
	where := Exposure(by)
	var rates []Rate
	seen := map[string]bool{}
	for _, n := range ends {
		var of []string
		for i, field := range by {
			if slices.Contains(where, field) {
				of = append(of, n.Of[i])
			}
		}
		seen[key(of)] = true
		rates = append(rates, Rate{n.Of, n.N, exposure[key(of)]})
	}
	if len(where) == len(by) { // where nothing was disrupted, that is a result
		for _, h := range all {
			if !seen[key(h.Of)] {
				rates = append(rates, Rate{h.Of, 0, h})
			}
		}
	}
	return rates
}

// Caveat says what the hours leave out.
const Caveat = "Pod-hours are those of pods that have left and are recorded: docs/archive.md says what that leaves out."

// Unrecorded says that routine ends are not recorded.
const Unrecorded = "Routine ends are not recorded (audit.classes): these are the hours of pods that ended badly, and the rates are far too high."

// usual are the codes of routine ends that are recorded by default. Where there are no others,
// audit.classes has no routine ends.
var usual = []reason.Code{reason.UserRequest, reason.LimitExceeded, reason.DeadlineExceeded,
	reason.JobFailed, reason.OwnerDeleted, reason.Suspended}

// RoutineIsRecorded tells from the routine ends, counted by code, whether audit.classes has them.
func RoutineIsRecorded(routine []archive.Count) bool {
	return slices.ContainsFunc(routine, func(n archive.Count) bool {
		return !slices.Contains(usual, reason.Code(n.Of[0]))
	})
}
