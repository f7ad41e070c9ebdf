package guard

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestPanicIsCountedLoggedAndReturned(t *testing.T) {
	t.Parallel()
	var logged []string
	log := funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{})
	r := prometheus.NewRegistry()
	g, err := New(r, "gc", log)
	if err != nil {
		t.Fatal(err)
	}
	const zero = `# HELP epitaph_worker_panics_total Panics of workers, by worker. The process goes on.
# TYPE epitaph_worker_panics_total counter
epitaph_worker_panics_total{worker="gc"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(zero)); err != nil {
		t.Errorf("an increase needs the zero before it: %v", err)
	}

	boom := func() { panic("boom") }
	err = g.Do("pod shop/web", func() error { boom(); return nil })
	var p *Panic
	if !errors.As(err, &p) || err.Error() != "panic: boom" {
		t.Errorf("the work returned %v", err)
	}
	g.Run("node n1", boom)
	if n := testutil.ToFloat64(g.panics); n != 2 {
		t.Errorf("%v panics are counted, want 2", n)
	}
	if len(logged) != 2 || !strings.Contains(logged[0], `"at"="pod shop/web"`) ||
		!strings.Contains(logged[0], "guard_test.go") {
		t.Errorf("logged without what was worked on, or where: %q", logged)
	}

	refused := errors.New("refused")
	if err := g.Do("", func() error { return refused }); !errors.Is(err, refused) {
		t.Errorf("an error became %v", err)
	}
	if err := g.Do("", func() error { return nil }); err != nil || len(logged) != 2 {
		t.Errorf("work that went well returned %v, and %d lines are logged", err, len(logged))
	}
}

// Workers share one metric, each with a series of its own.
func TestWorkersShareTheMetric(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	for _, worker := range []string{"gc", "reports"} {
		if _, err := New(r, worker, funcr.New(func(_, _ string) {}, funcr.Options{})); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := testutil.GatherAndCount(r, Metric); err != nil || n != 2 {
		t.Errorf("%d series (%v), want 2", n, err)
	}
}

// Somebody who can make a worker panic cannot fill the log.
func TestTheLogIsBounded(t *testing.T) {
	t.Parallel()
	const panics = 10_000
	logged := 0
	g, err := New(prometheus.NewRegistry(), "netconsole",
		funcr.New(func(_, _ string) { logged++ }, funcr.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	for range panics {
		g.Run("a datagram", func() { panic("boom") })
	}
	if n := testutil.ToFloat64(g.panics); n != panics || logged == 0 || logged > panics/2 {
		t.Errorf("%v of %d panics are counted, %d logged", n, panics, logged)
	}
}
