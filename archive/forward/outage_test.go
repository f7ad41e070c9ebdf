package forward_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/forward"
	"github.com/epitaph-k8s/epitaph/test/storetest"
)

// A receiver that is away for a day is asked every five minutes, and then gets what was stored
// meanwhile: in order, once, and as it was last.
func TestReceiverIsAwayForADay(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) archive.Store{"SQLite": inFile, "PostgreSQL": inPostgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			var away atomic.Bool
			away.Store(true)
			r := listening(t, func(_ int, w http.ResponseWriter, _ string) bool {
				if away.Load() {
					w.WriteHeader(http.StatusBadGateway)
				}
				return away.Load()
			})
			store(t, s, "c", "first")
			day := storetest.NewDay(storetest.Now)
			told := tellBy(t, day, s, "c", r.as("siem", forward.Filter{Since: storetest.Now.Add(-2 * time.Hour)}))
			failures := func() float64 {
				return told.value(t, "epitaph_archive_forward_failures_total", "failing,siem")
			}
			eventually(t, "it is away", func() bool { return failures() > 0 && day.HasWaiters() })
			const patience = 5 * time.Minute
			var hourly []string
			longest := day.Pass(t, patience, func(since time.Duration) {
				if hour := int(since.Hours()); since%time.Hour == 0 {
					hourly = append(hourly, fmt.Sprint(hour))
					store(t, s, "c", hourly[hour])
				}
				if since == 12*time.Hour {
					put(t, s, aRecord(t, "c", "3", func(r *archive.Record) {
						r.Revision, r.Document = 8, []byte(`{"metadata": {"generation": 2}, "spec": {"reason": "new"}}`)
					}))
				}
			})
			if longest > patience || longest < 3*time.Minute {
				t.Errorf("it is left alone for %s at a time, want five minutes at most", longest)
			}
			if n := failures(); n < 250 {
				t.Errorf("it was asked %v times in a day", n)
			}
			away.Store(false)
			want := append([]string{"first", "0", "1", "2"}, hourly[4:13]...)
			want = append(append(want, "3"), hourly[13:]...)
			eventually(t, "everything has arrived", func() bool {
				if day.HasWaiters() {
					day.Step(patience)
				}
				return len(r.names()) == len(want)
			})
			arrived(t, r, pods(want...)...)
			if _, newest := r.events["c/uid-3/1-8"]; !newest {
				t.Error("the record that was amended meanwhile is told as it was")
			}
			eventually(t, "it is up to date", func() bool {
				return told.value(t, "epitaph_archive_forward_reached_timestamp_seconds", "siem") > 0
			})
			if n := told.value(t, "epitaph_archive_forwarded_total", "sent,siem"); int(n) != len(want) {
				t.Errorf("%v were sent, want each of %d once", n, len(want))
			}
		})
	}
}
