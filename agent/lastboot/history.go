package lastboot

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/crash"
	"github.com/epitaph-k8s/epitaph/agent/resetreason"
)

const (
	// maxSeen bounds the dumps that are remembered: more than are read from one place.
	maxSeen = 2048
	// lookFor is how long after the boot dumps are looked for: what makes them readable may start
	// late.
	lookFor = 10 * time.Minute
	// clockMoved is how far the machine's clock may move before that is noted.
	clockMoved = 2 * time.Second
)

// A History remembers boots in a folder of the host.
type History struct {
	// Dir is the folder.
	Dir string
	// Dumps reads what there is. An error means that some could not be read.
	Dumps func() ([]crash.Dump, error)
	// Reasons reads what the machine itself says of the end; nil leaves it out. An error means that
	// something could not be read.
	Reasons func() ([]resetreason.Reason, error)
	// Remove makes Told remove the files of a panic from pstore.
	Remove bool

	state  state
	loaded bool
	looked bool
}

// Look returns how the boot before this one ended; nil if no boot before is known. It can be called
// at any time: it remembers what it has found, and for a while after the boot it looks again.
func (h *History) Look(now Moment) (*End, error) {
	if err := h.load(); err != nil {
		return nil, err
	}
	before := h.state.clone()
	fresh := h.turn(now)
	h.note(now)
	var failed error
	if fresh || !h.looked || now.Uptime < lookFor {
		failed = errors.Join(h.search(now), h.ask(now))
		h.looked = true
	}
	if !h.state.same(before) {
		failed = errors.Join(failed, h.state.save(h.Dir))
	}
	return h.state.Previous, failed
}

func (h *History) load() (err error) {
	if h.loaded {
		return nil
	}
	h.state, err = load(h.Dir)
	h.loaded = err == nil
	return err
}

// turn starts a new boot if one has begun: what was noted until then belongs to the one before.
func (h *History) turn(now Moment) bool {
	if h.state.Boot.ID == now.BootID {
		return false
	}
	s := state{Boot: boot{ID: now.BootID, Began: now.began(), NotedAfter: now.Uptime},
		Before: h.state.Boot, Seen: h.state.Seen}
	if b := s.Before; b.ID != "" {
		s.Previous = &End{BootID: b.ID, How: h.howEnded(b), Back: now.began()}
	}
	h.state = s
	return true
}

// howEnded returns the end according to the unit's notes.
func (h *History) howEnded(b boot) How {
	switch {
	case mark(h.Dir, ended) == b.ID:
		return Orderly
	case b.Marked:
		return Unclean
	default:
		return Unknown
	}
}

// note records what may change during a boot: when it began, since the clock may be set, and
// whether its end would be noted.
func (h *History) note(now Moment) {
	b := &h.state.Boot
	if now.began().Sub(b.Began).Abs() > clockMoved {
		b.Began = now.began()
	}
	b.Marked = b.Marked || mark(h.Dir, begun) == b.ID
}

// search looks for the dump of the boot before. From then on, dumps that are there count as seen.
func (h *History) search(now Moment) error {
	dumps, err := h.Dumps()
	s := &h.state
	for _, d := range dumps {
		if slices.Contains(s.Seen, d.ID) {
			continue
		}
		if p := s.Previous; p != nil && p.How != Panic && s.Before.endedBy(d, now) {
			end := p.by(s.Before, d, now)
			s.Previous = &end
		}
		s.Seen = append(s.Seen, d.ID)
	}
	s.Seen = s.Seen[max(0, len(s.Seen)-maxSeen):]
	return err
}

// ask looks at what the machine says, if nothing better is known. A record that was there before
// the boot that is over is not about its end.
func (h *History) ask(now Moment) error {
	if h.Reasons == nil {
		return nil
	}
	reasons, err := h.Reasons()
	s := &h.state
	for _, r := range reasons {
		if r.ID != "" && slices.Contains(s.Seen, r.ID) {
			continue
		}
		if p := s.Previous; p != nil && (p.How == Unclean || p.How == Unknown) && p.Cause == "" {
			end := p.because(r, now)
			s.Previous = &end
		}
		if r.ID != "" {
			s.Seen = append(s.Seen, r.ID)
		}
	}
	s.Seen = s.Seen[max(0, len(s.Seen)-maxSeen):]
	return err
}

// Told notes that the end was reported where it has to be, and removes its dump from pstore if
// Remove is set.
func (h *History) Told() error {
	p := h.state.Previous
	if p == nil || p.Told {
		return nil
	}
	told := *p
	told.Told = true
	h.state.Previous = &told
	if err := h.state.save(h.Dir); err != nil {
		return err
	}
	if !h.Remove || told.Source != string(crash.Pstore) {
		return nil
	}
	for _, path := range told.Files {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a dump that was told: %w", err)
		}
	}
	return nil
}

func (s state) clone() state {
	s.Seen = slices.Clone(s.Seen)
	return s
}

// same reports whether there is nothing to write. Ends are replaced, never changed.
func (s state) same(o state) bool {
	return s.Boot == o.Boot && s.Before == o.Before && s.Previous == o.Previous &&
		slices.Equal(s.Seen, o.Seen)
}
