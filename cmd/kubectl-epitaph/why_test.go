package main

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What is being recorded is found when it is there; what is not on record is asked for until the
// time is over, and what goes wrong otherwise is told at once.
func TestWhyWaitsForARecord(t *testing.T) {
	t.Parallel()
	missing, broken := fmt.Errorf("%w: pod a/b", errNotFound), errors.New("refused")
	for name, tc := range map[string]struct {
		within, there, want time.Duration
		before, err         error
	}{
		"there":              {within: 3 * time.Second},
		"there after a time": {within: 3 * time.Second, there: 700 * time.Millisecond, before: missing, want: time.Second},
		"not there":          {within: 3 * time.Second, there: time.Hour, before: missing, err: missing, want: 3 * time.Second},
		"no time given":      {there: time.Hour, before: missing, err: missing},
		"another fault":      {within: 3 * time.Second, there: time.Hour, before: broken, err: broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := soonest(t.Context(), tc.within, func() (account, error) {
					if time.Since(began) < tc.there {
						return account{}, tc.before
					}
					return account{}, nil
				})
				if took := time.Since(began); !errors.Is(err, tc.err) || took != tc.want {
					t.Errorf("it ended with %v after %s, want %v after %s", err, took, tc.err, tc.want)
				}
			})
		})
	}
}
