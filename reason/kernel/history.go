package kernel

import (
	"strings"
	"time"
)

const (
	// tellAgain is how often one kind of trouble of a node is told: a failing disk reports it a
	// thousand times.
	tellAgain = 10 * time.Minute
	// maxKinds and maxRemembered bound what is kept of a node. Kinds are few; a rack has many
	// devices.
	maxKinds      = 32
	maxRemembered = 64
)

// A History is what matters of a kernel's earlier lines. The zero value is for a kernel that has
// not been heard yet.
type History struct {
	told map[string]told
	// seen is when the rules that others refer to last matched, by ID and device.
	seen map[sighting]time.Time
}

type told struct {
	at       time.Time
	severity Severity
}

type sighting struct{ rule, device string }

// Take takes a line, and returns what it says; nil if that is nothing. The finding is to be told if
// [Finding.Tell] is set: the first line of a kind in ten minutes, and a worse one at once. plain
// undoes the kernel's escapes.
func (h *History) Take(rules *Rules, l Line, plain func([]byte) string, now time.Time) *Finding {
	if !rules.Concern(l.Text) {
		return nil
	}
	f := rules.find(l, plain, func(c *compiled,
		device string) bool {
		return h.allows(rules, c, device, now)
	})
	if f == nil {
		return nil
	}
	if rules.awaited[f.Rule.ID] {
		h.remember(rules, sighting{f.Rule.ID, disk(f.Device)}, now)
	}
	f.Tell = f.Rule.Severity.Told() && h.tells(f.Rule, now)
	return f
}

// Untold marks a finding as not told, so that the next line of its kind is told.
func (h *History) Untold(f *Finding) { delete(h.told, f.Rule.Kind) }

func (h *History) tells(r Rule, now time.Time) bool {
	last, before := h.told[r.Kind]
	recent := before && now.Sub(last.at) < tellAgain
	if recent && !r.Severity.worse(last.severity) || !before && len(h.told) >= maxKinds {
		return false
	}
	if h.told == nil {
		h.told = map[string]told{}
	}
	h.told[r.Kind] = told{now, r.Severity}
	return true
}

// allows reports whether the lines before allow a rule.
func (h *History) allows(rules *Rules, c *compiled, device string, now time.Time) bool {
	for _, id := range c.NotAfter {
		if h.saw(rules, id, device, now) {
			return false
		}
	}
	for _, id := range c.After {
		if h.saw(rules, id, device, now) {
			return true
		}
	}
	return len(c.After) == 0
}

// saw reports whether a rule matched lately: for this device, or for a line that named none, or for
// any device if this line names none.
func (h *History) saw(rules *Rules, id, device string, now time.Time) bool {
	for s, at := range h.seen {
		if s.rule != id || now.Sub(at) > rules.byID[id].Lasts.Duration {
			continue
		}
		if s.device == "" || device == "" || s.device == disk(device) {
			return true
		}
	}
	return false
}

// remember notes that a rule matched. If there is no room, it drops the oldest.
func (h *History) remember(rules *Rules, s sighting, now time.Time) {
	if h.seen == nil {
		h.seen = map[sighting]time.Time{}
	}
	if _, known := h.seen[s]; !known && len(h.seen) >= maxRemembered {
		var oldest sighting
		for k, at := range h.seen {
			if rules.byID[k.rule] == nil || oldest.rule == "" || at.Before(h.seen[oldest]) {
				oldest = k
			}
		}
		delete(h.seen, oldest)
	}
	h.seen[s] = now
}

// disk returns the disk that a partition, or the journal of one, is on: sda for sda1 and sda1-8,
// nvme0n1 for nvme0n1p2.
func disk(device string) string {
	if !strings.HasPrefix(device, "dm-") {
		device, _, _ = strings.Cut(device, "-")
	}
	whole := strings.TrimRight(device, "0123456789")
	switch {
	case whole == device:
		return device
	case strings.HasSuffix(whole, "p") && strings.TrimRight(whole[:len(whole)-1],
		"0123456789") != whole[:len(whole)-1]:
		return whole[:len(whole)-1]
	case strings.HasPrefix(whole, "sd"), strings.HasPrefix(whole, "vd"),
		strings.HasPrefix(whole, "xvd"), strings.HasPrefix(whole, "hd"):
		return whole
	default:
		return device
	}
}
