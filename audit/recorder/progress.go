package recorder

import "sync"

// progress is how far the record is complete: the revision up to which everything that left is on
// record.
type progress struct {
	mu sync.Mutex
	// seen is the revision of the newest event.
	seen string
	// open are the departures that are not on record yet, and those after them, in the order of the
	// watch.
	open []*ticket
}

// A ticket is one departure being recorded.
type ticket struct {
	// before is the revision of the event before it.
	before string
	done   bool
}

func (p *progress) reset(revision string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen, p.open = revision, nil
}

// pass notes an event that needs no record.
func (p *progress) pass(revision string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = revision
}

// begin notes a departure. If it is one of several that a comparison found, revision is the one
// that was compared with.
func (p *progress) begin(revision string) *ticket {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &ticket{before: p.seen}
	p.open = append(p.open, t)
	p.seen = revision
	return t
}

// finish notes that a departure is on record.
func (p *progress) finish(t *ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.done = true
	for len(p.open) > 0 && p.open[0].done {
		p.open[0] = nil
		p.open = p.open[1:]
	}
}

// complete returns the revision after which a successor has to go on.
func (p *progress) complete() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) > 0 {
		return p.open[0].before
	}
	return p.seen
}
