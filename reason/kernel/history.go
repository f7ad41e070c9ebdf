package kernel

import (
	"strings"
	"time"
)

const (
	// tellAgain is how often one kind of trouble of a node is told: a failing disk says so a
	// thousand times.
	tellAgain = 10 * time.Minute
	// maxKinds and maxRemembered bound what is kept of a node. Kinds are few; of devices a rack has
	// many.
	maxKinds      = 32
	maxRemembered = 64
)

// A History is what counts of the lines that one kernel wrote before. The zero value is a kernel
// that was not heard yet.
type History struct {
	told map[string]told
	// seen is when rules matched that others look back at, by ID and device.
	seen map[sighting]time.Time
}

type told struct {
	at       time.Time
	severity Severity
}

type sighting struct{ rule, device string }

// Take takes a line, and returns what it says: nil where that is nothing. It is to be told where
// [Finding.Tell] is set: of one kind the first line in ten minutes, and what is worse at once. How
// the kernel's escapes are undone is the caller's knowledge.
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

// Untold has the next line of a kind told: this one could not be.
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

// allows tells whether the lines before allow a rule.
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

// saw tells whether a rule matched lately: for the device, or a line that named none, or any where
// this one names none.
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

// remember notes that a rule matched. Where there is no room, the oldest makes some.
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

// disk is the disk that a partition, or the journal of one, is on: sda of sda1 and of sda1-8,
// nvme0n1 of nvme0n1p2.
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
