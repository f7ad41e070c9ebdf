package forgeries

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/epitaph-k8s/epitaph/config"
)

// announcement is what a panic begins with (vpanic() of kernel/panic.c).
const announcement = "Kernel panic - not syncing"

// A Forger makes forgeries, the same ones for the same seed.
type Forger struct {
	genuine [][]byte
	guesses []string
	random  *rand.Rand
	made    int
}

// New makes a forger that has heard the datagrams, of which it uses those with the words of a
// panic. The near misses are tokens that are none of any boot of now: of an earlier boot, or
// guessed.
func New(heard [][]byte, nearMisses []string, seed uint64) (*Forger, error) {
	f := &Forger{random: rand.New(rand.NewPCG(seed, 1)),
		guesses: append(slices.Clone(nearMisses), "", "guessed")}
	for _, d := range heard {
		if bytes.Contains(d, []byte(announcement)) {
			f.genuine = append(f.genuine, d)
		}
	}
	if len(f.genuine) == 0 {
		return nil, errors.New("find panics to forge: no datagram has the words")
	}
	return f, nil
}

// Kinds is how many kinds of forgeries there are, which Next takes in turn.
func (f *Forger) Kinds() int { return len(kinds) }

// Recorded is how many recorded panics it makes them of.
func (f *Forger) Recorded() int { return len(f.genuine) }

// NearMisses are tokens like the one that is given, which is not one of them.
func NearMisses(token string) []string {
	return []string{
		token[:len(token)-1], token + "x", token + " ", " " + token, token + token, "x" + token[1:],
		strings.ToUpper(token), strings.ToLower(token),
	}
}

// Next is the next forgery: each kind in turn, of each recorded panic in turn.
func (f *Forger) Next() []byte {
	kind := kinds[f.made%len(kinds)]
	d := slices.Clone(f.genuine[f.made/len(kinds)%len(f.genuine)])
	f.made++
	return kind(f, d)
}

var kinds = []func(*Forger, []byte) []byte{
	func(_ *Forger, d []byte) []byte { return d }, // replayed as it was
	(*Forger).offByOne,
	(*Forger).signed,
	func(f *Forger, d []byte) []byte { return d[:f.random.IntN(len(d)+1)] },
	(*Forger).garbled,
	(*Forger).invented,
	(*Forger).numbered,
}

// signed adds a token that is none of this boot.
func (f *Forger) signed(d []byte) []byte {
	guess := f.guesses[f.random.IntN(len(f.guesses))]
	return fmt.Appendf(bytes.TrimSuffix(d, []byte("\n")), "\n %s=%s\n", config.TokenUserdata, guess)
}

func (f *Forger) garbled(d []byte) []byte {
	d[f.random.IntN(len(d))] = byte(f.random.IntN(256))
	return d
}

// invented is a panic that fits no boot but by chance.
func (f *Forger) invented([]byte) []byte {
	r := f.random
	return fmt.Appendf(nil, "%d,%d,%d,-;%s: %d\n", r.IntN(2), r.IntN(1<<20), r.Int64N(1<<40),
		announcement, r.IntN(1<<30))
}

// numbered has the text of a recorded panic, and numbers as a kernel has them that has been up for
// some minutes.
func (f *Forger) numbered(d []byte) []byte {
	_, text, _ := bytes.Cut(d, []byte(announcement))
	return fmt.Appendf(nil, "0,%d,%d,-;%s%s", 300+f.random.IntN(1000),
		1_000_000+f.random.Int64N(600_000_000), announcement, text)
}

// offByOne changes one of the numbers of a header: of the level, the message, its time, or where a
// fragment belongs.
func (f *Forger) offByOne(d []byte) []byte {
	head, rest, ok := bytes.Cut(d, []byte(";"))
	if !ok {
		return d
	}
	var numbers [][]int // where each begins and ends
	for n := 0; n < len(head); n++ {
		if !digit(head[n]) || n > 0 && !strings.ContainsRune(",=/", rune(head[n-1])) {
			continue
		}
		begin := n
		for n < len(head) && digit(head[n]) {
			n++
		}
		if n == len(head) || head[n] == ',' || head[n] == '/' {
			numbers = append(numbers, []int{begin, n})
		}
	}
	if len(numbers) == 0 {
		return d
	}
	at := numbers[f.random.IntN(len(numbers))]
	number, err := strconv.ParseInt(string(head[at[0]:at[1]]), 10, 64)
	if err != nil {
		return d
	}
	number += 1 - 2*f.random.Int64N(2)
	return slices.Concat(head[:at[0]], strconv.AppendInt(nil, number, 10), head[at[1]:],
		[]byte(";"), rest)
}

func digit(b byte) bool { return '0' <= b && b <= '9' }
