package lastboot

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/epitaph-k8s/epitaph/agent/crash"
)

const (
	// maxSeen bounds the dumps that are remembered: more than a place is read of.
	maxSeen = 2048
	// lookFor is how long after the boot dumps are looked for: what makes them readable may start
	// late.
	lookFor = 10 * time.Minute
	// clockMoved is how far the machine's clock may move before it is noted.
	clockMoved = 2 * time.Second
)

// A Keeper remembers boots in a folder of the host.
type Keeper struct {
	// Dir is the folder.
	Dir string
	// Dumps reads what there is. With an error, some of it could not be read.
	Dumps func() ([]crash.Dump, error)
	// Remove has the files of a panic in pstore removed once it was told.
	Remove bool

	state  state
	loaded bool
	looked bool
}

// Look returns how the boot before this one ended; nil where no boot before is known. It can be
// called at any time: what it has found it remembers, and for a while after the boot it looks
// again.
func (k *Keeper) Look(now Moment) (*End, error) {
	if err := k.load(); err != nil {
		return nil, err
	}
	before := k.state.clone()
	fresh := k.turn(now)
	k.note(now)
	var failed error
	if fresh || !k.looked || now.Uptime < lookFor {
		failed = k.search(now)
		k.looked = true
	}
	if !k.state.same(before) {
		failed = errors.Join(failed, k.state.save(k.Dir))
	}
	return k.state.Previous, failed
}

func (k *Keeper) load() (err error) {
	if k.loaded {
		return nil
	}
	k.state, err = load(k.Dir)
	k.loaded = err == nil
	return err
}

// turn notes that a boot has begun, if it has: what was noted until then is of the one before.
func (k *Keeper) turn(now Moment) bool {
	if k.state.Boot.ID == now.BootID {
		return false
	}
	s := state{Boot: boot{ID: now.BootID, Began: now.began(), NotedAfter: now.Uptime},
		Before: k.state.Boot, Seen: k.state.Seen}
	if b := s.Before; b.ID != "" {
		s.Previous = &End{BootID: b.ID, How: k.howEnded(b), Back: now.began()}
	}
	k.state = s
	return true
}

// howEnded is what the unit's notes tell.
func (k *Keeper) howEnded(b boot) How {
	switch {
	case mark(k.Dir, ended) == b.ID:
		return Orderly
	case b.Marked:
		return Unclean
	default:
		return Unknown
	}
}

// note keeps what may change during a boot: its beginning, as the clock is set right, and whether
// its end would be noted.
func (k *Keeper) note(now Moment) {
	b := &k.state.Boot
	if now.began().Sub(b.Began).Abs() > clockMoved {
		b.Began = now.began()
	}
	b.Marked = b.Marked || mark(k.Dir, begun) == b.ID
}

// search looks for the dump of the boot before. What is there is no news from then on.
func (k *Keeper) search(now Moment) error {
	dumps, err := k.Dumps()
	s := &k.state
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

// Told notes that the end was told where it has to be, and removes its dump from pstore if that is
// wanted.
func (k *Keeper) Told() error {
	p := k.state.Previous
	if p == nil || p.Told {
		return nil
	}
	told := *p
	told.Told = true
	k.state.Previous = &told
	if err := k.state.save(k.Dir); err != nil {
		return err
	}
	if !k.Remove || told.Source != crash.Pstore {
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

// same tells whether nothing has to be written. Ends are replaced, never changed.
func (s state) same(o state) bool {
	return s.Boot == o.Boot && s.Before == o.Before && s.Previous == o.Previous &&
		slices.Equal(s.Seen, o.Seen)
}
