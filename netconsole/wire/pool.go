package wire

import "time"

// maxLook is how many slots a pool examines for one that can be spared, before it takes the next.
const maxLook = 64

// A pool lends a bounded number of things. When all are lent, a new borrower gets one that was not
// used for a while: active borrowers keep theirs, and nobody has to give anything back (second
// chance, the page replacement of Multics). A nil pool makes a thing for each borrower.
type pool[T any] struct {
	size  int
	slots []*slot[T]
	hand  int
}

// A slot is one thing and its borrower.
type slot[T any] struct {
	thing T
	turn  uint64 // counts the borrowers
	used  bool   // since the hand passed by
	until time.Time
}

// A lease is the right to a thing until another borrower gets it. The zero value gives a right to
// nothing.
type lease[T any] struct {
	slot *slot[T]
	turn uint64
}

// lend lends a thing as its last borrower left it.
func (p *pool[T]) lend(now time.Time) lease[T] {
	s := p.spare(now)
	s.turn, s.used, s.until = s.turn+1, true, time.Time{}
	return lease[T]{s, s.turn}
}

// spare returns a slot that is lent to nobody, or the one that can best be spared.
func (p *pool[T]) spare(now time.Time) *slot[T] {
	if p == nil {
		return &slot[T]{}
	}
	if len(p.slots) < p.size {
		s := &slot[T]{}
		p.slots = append(p.slots, s)
		return s
	}
	for range maxLook {
		s := p.next()
		if !s.used && !now.Before(s.until) {
			return s
		}
		s.used = false
	}
	return p.next()
}

func (p *pool[T]) next() *slot[T] {
	s := p.slots[p.hand]
	p.hand = (p.hand + 1) % p.size
	return s
}

// use returns the thing, or nil if another borrower has it.
func (l lease[T]) use() *T {
	if !l.valid() {
		return nil
	}
	l.slot.used = true
	return &l.slot.thing
}

// keep asks the pool to leave the thing with its borrower until then. There is no guarantee: a pool
// in which much is kept takes it all the same.
func (l lease[T]) keep(until time.Time) {
	if l.valid() {
		l.slot.until = until
	}
}

func (l lease[T]) valid() bool { return l.slot != nil && l.slot.turn == l.turn }
