package wire_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/netconsole/wire"
)

// A piece is a fragment as the reference keeps it.
type piece struct {
	prefix, offset, total int
	body                  []byte
	at                    time.Time
}

func (p piece) end() int { return p.offset + len(p.body) }

// A reference reassembles fragments in the plainest way: it keeps all of them, and sorts and joins
// them at each arrival. It has none of the stream's bounds, so its input must stay within them.
type reference map[uint64][]piece

func (ref reference) push(seq uint64, p piece) (wire.Outcome, []byte) {
	for known, pieces := range ref {
		if p.at.Sub(pieces[0].at) > time.Second {
			delete(ref, known)
		}
	}
	for _, q := range ref[seq] {
		switch {
		case q.prefix != p.prefix || q.total != p.total:
			delete(ref, seq)
			return wire.OutcomeConflict, nil
		case q.offset == p.offset && bytes.Equal(q.body, p.body):
			return wire.OutcomeDuplicate, nil
		case q.offset < p.end() && p.offset < q.end():
			delete(ref, seq)
			return wire.OutcomeConflict, nil
		}
	}
	ref[seq] = append(ref[seq], p)
	sorted := slices.SortedFunc(slices.Values(ref[seq]),
		func(a, b piece) int { return a.offset - b.offset })
	var whole []byte
	for _, q := range sorted {
		whole = append(whole, q.body...)
	}
	if len(whole) < p.total {
		return wire.OutcomeFragment, nil
	}
	delete(ref, seq)
	return 0, whole
}

// The messages that are cut up, by sequence number.
var cutUp = [2]string{
	`a message \x0a of which the kernel cut` + "\n nodename=n1\n token=0123456789\n",
	"another message\n key=value\n",
}

// aPiece makes a fragment from three random bytes: mostly an honest one, else one with other bytes,
// bounds, total or prefix.
func aPiece(a, b, c byte, now time.Time) (seq uint64, p piece) {
	const step = 11
	seq = uint64(a & 1)
	text := cutUp[seq]
	from := int(b) % ((len(text) + step - 1) / step) * step
	to := min(from+step, len(text))
	p = piece{prefix: 6, total: len(text), at: now}
	switch a >> 1 & 15 {
	case 0: // another cut
		from = int(b) % len(text)
		to = from + 1 + int(c)%(len(text)-from)
	case 1:
		p.total += 1 + int(c)
	case 2:
		p.prefix = 4
	}
	p.offset, p.body = from, []byte(text[from:to])
	if a>>1&15 == 3 {
		p.body[int(c)%len(p.body)] ^= 1
	}
	return seq, p
}

// compare feeds a stream and the reference with datagrams made from the input, which loses,
// repeats, reorders and falsifies them.
func compare(t *testing.T, input []byte) (whole int) {
	t.Helper()
	var s wire.Stream
	ref, now := reference{}, noon
	for ; len(input) >= 3; input = input[3:] {
		now = now.Add(time.Duration(input[0]>>5) * 30 * time.Millisecond)
		seq, p := aPiece(input[0], input[1], input[2], now)
		wantOutcome, want := ref.push(seq, p)
		e := s.Push(fmt.Appendf(nil, "%d,%d,1000,-,ncfrag=%d/%d;%s", p.prefix, seq, p.offset,
			p.total, p.body), now)
		if want == nil {
			if e.Outcome != wantOutcome || e.Record.Total == 0 {
				t.Fatalf("%+v is %s, the reference says %s", p, e.Outcome, wantOutcome)
			}
			continue
		}
		whole++
		if e.Record.Total != 0 || !bytes.Equal(e.Record.Body, want) {
			t.Fatalf("%+v is %s of %q, the reference has %q", p, e.Outcome, e.Record.Body, want)
		}
	}
	return whole
}

func TestAgainstReference(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	whole := 0
	for range 2000 {
		input := make([]byte, 3*(1+random.IntN(100)))
		for n := range input {
			input[n] = byte(random.Uint32())
		}
		whole += compare(t, input)
	}
	if whole < 1000 {
		t.Errorf("only %d messages were put together", whole)
	}
}

func FuzzAgainstReference(f *testing.F) {
	f.Add([]byte{8, 0, 0, 8, 1, 0, 8, 2, 0, 8, 3, 0, 8, 4, 0, 8, 5, 0})
	f.Add([]byte{9, 2, 0, 9, 1, 0, 9, 0, 0})
	f.Add([]byte{9, 2, 0, 0, 1, 7, 2, 3, 1, 6, 0, 5})
	f.Fuzz(func(t *testing.T, input []byte) { compare(t, input) })
}
