package recorder

import (
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

func fresh(t *testing.T, change ...func(*config.Audit)) *Recorder {
	t.Helper()
	c := config.Default().Audit
	for _, f := range change {
		f(&c)
	}
	r, err := New(Options{Config: c, Registerer: prometheus.NewRegistry(), Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWhatIsRecorded(t *testing.T) {
	t.Parallel()
	defaults := func(*config.Audit) {}
	routine := func(c *config.Audit) { c.Classes, c.Codes = []string{"routine"}, nil }
	tests := map[string]struct {
		code   reason.Code
		config func(*config.Audit)
		want   bool
	}{
		"a disruption":                 {reason.Preempted, defaults, true},
		"a finding":                    {reason.Unexplained, defaults, true},
		"somebody else's code":         {"Gremlins", defaults, true},
		"a routine removal":            {reason.ScaledDown, defaults, false},
		"a person's wish":              {reason.UserRequest, defaults, true},
		"routine where that is wanted": {reason.ScaledDown, routine, true},
		"a disruption where not":       {reason.Preempted, routine, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := fresh(t, tc.config).records(reason.Reason{Code: tc.code}); got != tc.want {
				t.Errorf("recorded %t, want %t", got, tc.want)
			}
		})
	}
}

func TestWhereToStart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		saved, now, want string
		lost             float64
	}{
		"the first time":                  {"", "70", "70", 0},
		"where the last leader stopped":   {"9", "70", "9", 0},
		"nothing has happened since":      {"70", "70", "70", 0},
		"the cluster comes from a backup": {"900", "70", "70", 1},
		"the position cannot be compared": {"7b", "70", "70", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fresh(t)
			if got := r.chosen(tc.saved, tc.now); got != tc.want {
				t.Errorf("starts after %s, want %s", got, tc.want)
			}
			if got := testutil.ToFloat64(r.metrics.gaps.WithLabelValues(gapLost)); got != tc.lost {
				t.Errorf("%v gaps are counted as lost, want %v", got, tc.lost)
			}
		})
	}
}

func TestWhatIsCounted(t *testing.T) {
	t.Parallel()
	r := fresh(t)
	r.metrics.leave("a", reason.New(reason.Pod, reason.ScaledDown, "x", "y"), given)
	r.metrics.leave("a", reason.Reason{Code: "Gremlins", Text: "x"}, given)
	for _, by := range []string{reason.UnknownRemover,
		"alice", "system:serviceaccount:ci:runner", "system:kube-scheduler"} {
		r.metrics.leave("a", reason.New(reason.Pod, reason.Unexplained, by, by), none)
	}
	want :=
		`# HELP epitaph_audit_findings_total Pods that left without a reason, by what is known of who deleted them.
# TYPE epitaph_audit_findings_total counter
epitaph_audit_findings_total{by="person"} 1
epitaph_audit_findings_total{by="program"} 2
epitaph_audit_findings_total{by="unknown"} 1
`
	if err := testutil.CollectAndCompare(r.metrics.findings, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	want =
		`# HELP epitaph_audit_pods_left_total Pods that left, by code and class, and where the reason comes from.
# TYPE epitaph_audit_pods_left_total counter
epitaph_audit_pods_left_total{class="routine",code="ScaledDown",reason="given"} 1
epitaph_audit_pods_left_total{class="unexplained",code="Unexplained",reason="none"} 4
epitaph_audit_pods_left_total{class="unexplained",code="other",reason="given"} 1
`
	if err := testutil.CollectAndCompare(r.metrics.left, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestMoreIsWrittenAtATimeTheLaterItIs(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	tests := map[string]struct {
		late time.Duration
		want int
	}{
		"in time":               {0, 1},
		"nearly a second late":  {999 * time.Millisecond, 1},
		"a second late":         {time.Second, 2},
		"three seconds late":    {3500 * time.Millisecond, 4},
		"hopelessly late":       {time.Hour, 5},
		"from before the clock": {-time.Hour, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fresh(t, func(c *config.Audit) { c.Workers = 5 })
			r.Clock = clocktesting.NewFakeClock(now)
			if got := r.seats(now.Add(-tc.late)); got != tc.want {
				t.Errorf("%d obituaries are written at the same time, want %d", got, tc.want)
			}
		})
	}
}

// An alert on an increase sees the first one only if there was a zero before it.
func TestWhatIsCountedBeginsWithZero(t *testing.T) {
	t.Parallel()
	r := fresh(t)
	for name, tc := range map[string]struct {
		series prometheus.Collector
		want   int
	}{"gaps": {r.metrics.gaps, 2}, "obituaries": {r.metrics.obituaries, 7},
		"findings": {r.metrics.findings, 3}} {
		if got := testutil.CollectAndCount(tc.series); got != tc.want {
			t.Errorf("%s have %d series at the start, want %d", name, got, tc.want)
		}
	}
}

// Whoever may create namespaces makes no more series than the operator allows.
func TestSeriesOfNamespacesAreBounded(t *testing.T) {
	t.Parallel()
	m, err := newMetrics(prometheus.NewRegistry(), 2, func() int { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"a", "b", "c", "d", "a"} {
		m.leave(namespace, reason.New(reason.Pod, reason.Evicted, "x", "y"), given)
	}
	const want = `# HELP epitaph_audit_pods_left_total Pods that left, by code and class, and where the reason comes from.
# TYPE epitaph_audit_pods_left_total counter
epitaph_audit_pods_left_total{class="disruption",code="Evicted",namespace="a",reason="given"} 2
epitaph_audit_pods_left_total{class="disruption",code="Evicted",namespace="b",reason="given"} 1
epitaph_audit_pods_left_total{class="disruption",code="Evicted",namespace="other",reason="given"} 2
`
	if err := testutil.CollectAndCompare(m.left, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
