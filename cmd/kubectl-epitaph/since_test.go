package main

import (
	"testing"
	"time"
)

func TestSince(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"7d": 168 * time.Hour, "2w": 336 * time.Hour, "24h": 24 * time.Hour, "0d": 0,
		"1h30m": 90 * time.Minute,
	} {
		var s span
		if err := s.Set(text); err != nil || time.Duration(s) != want {
			t.Errorf("%s is %s (%v), want %s", text, time.Duration(s), err, want)
		}
	}
	for _, text := range []string{"", "d", "-1h", "-7d", "7 d", "1d12h", "99999d", "yesterday"} {
		var s span
		if err := s.Set(text); err == nil {
			t.Errorf("%q is read as %s", text, time.Duration(s))
		}
	}
	week := span(168 * time.Hour)
	if got := week.before(noon); !got.Equal(noon.AddDate(0, 0, -7)) {
		t.Errorf("a week before noon is %s", got)
	}
}
