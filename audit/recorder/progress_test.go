package recorder

import (
	"math/rand/v2"
	"strconv"
	"testing"
)

func TestProgressWaitsForTheOldest(t *testing.T) {
	t.Parallel()
	var p progress
	p.reset("10")
	first := p.begin("11")
	p.pass("12")
	second := p.begin("13")
	p.pass("14")
	steps := []struct {
		what string
		do   func()
		want string
	}{
		{"two are under way", func() {}, "10"},
		{"the younger one is recorded", func() { p.finish(second) }, "10"},
		{"both are recorded", func() { p.finish(first) }, "14"},
		{"another event passes", func() { p.pass("15") }, "15"},
	}
	for _, s := range steps {
		s.do()
		if got := p.complete(); got != s.want {
			t.Errorf("%s: complete up to %s, want %s", s.what, got, s.want)
		}
	}
}

func TestMissedPodsHoldTheProgressWhereTheyWereMissed(t *testing.T) {
	t.Parallel()
	var p progress
	p.reset("10")
	one, two := p.begin("10"), p.begin("10")
	p.pass("90")
	p.finish(two)
	if got := p.complete(); got != "10" {
		t.Errorf("complete up to %s while one is missing, want 10", got)
	}
	p.finish(one)
	if got := p.complete(); got != "90" {
		t.Errorf("complete up to %s, want 90", got)
	}
}

// In whatever order workers finish, what is not recorded is never before the position.
func TestNothingUnrecordedIsBehindThePosition(t *testing.T) {
	t.Parallel()
	var p progress
	p.reset("0")
	open := map[int]*ticket{}
	for revision := 1; revision <= 5000; revision++ {
		if rand.IntN(3) == 0 {
			p.pass(strconv.Itoa(revision))
		} else {
			open[revision] = p.begin(strconv.Itoa(revision))
		}
		for at, ticket := range open { // in random order
			if rand.IntN(2) == 0 {
				break
			}
			p.finish(ticket)
			delete(open, at)
		}
		complete, err := strconv.Atoi(p.complete())
		if err != nil {
			t.Fatal(err)
		}
		for at := range open {
			if at <= complete {
				t.Fatalf("complete up to %d, and %d is not recorded", complete, at)
			}
		}
	}
}
