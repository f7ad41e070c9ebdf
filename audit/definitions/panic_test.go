package definitions

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/internal/guard"
)

// A look that panics, here because there is no API server to ask, is repeated; the process goes on.
func TestWorkersSurviveAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		w, err := NewLookout(Options{Clock: clock.RealClock{}, Registerer: registry, Log: logr.Discard()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), lookEvery+time.Second)
		defer stop()
		if err := w.Start(ctx); err != nil {
			t.Error(err)
		}
		all, err := testutil.GatherAndFormat(registry, expfmt.TypeTextPlain, guard.Metric)
		if want := `epitaph_worker_panics_total{worker="definitions"} 2`; err != nil ||
			!strings.Contains(string(all), want) {
			t.Errorf("counted (%v), want %s:\n%s", err, want, all)
		}
	})
}
