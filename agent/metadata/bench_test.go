package metadata

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/epitaph-k8s/epitaph/config"
)

// BenchmarkPoll measures what one round of questions costs while nothing is announced, as a share
// of a core at the default period, and the memory for it. The service is in the same process, so
// that half of both is its.
func BenchmarkPoll(b *testing.B) {
	before := memory()
	d := document(b, tokenHeader, "AQAEAtoken==", map[string]string{awsGroup: "InService"})
	w, _ := watch(&book{})
	a := d.aws(b)
	began := processor(b)
	for b.Loop() {
		notices, err := a.notices(b.Context())
		if w.hear(notices, err == nil); err != nil {
			b.Fatal(err)
		}
		if err := w.write(b.Context(), a.name()); err != nil {
			b.Fatal(err)
		}
		d.asked = d.asked[:0]
	}
	spent := (processor(b) - began) / time.Duration(b.N)
	period := config.Default().Agent.Cloud.Period.Duration
	b.ReportMetric(100*float64(spent)/float64(period), "%core")
	b.ReportMetric(float64(memory()-before)/(1<<20), "MiB")
}

// processor returns the processor time of this process so far.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// memory returns the bytes that are in use, stacks included.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
