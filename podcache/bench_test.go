package podcache

import (
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
)

// BenchmarkCachedPods reports the heap that an indexed store needs for a thousand pods, whole and as records.
func BenchmarkCachedPods(b *testing.B) {
	for name, keep := range map[string]func(*corev1.Pod) any{
		"whole":   func(p *corev1.Pod) any { return p },
		"records": func(p *corev1.Pod) any { return compact(p, kept{"kept"}) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(heapOfThousand(b, keep))/1024, "KiB/1000pods")
			}
		})
	}
}

func heapOfThousand(b *testing.B, keep func(*corev1.Pod) any) uint64 {
	b.Helper()
	const pods = 30_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, reading(toolscache.Indexers{
		toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc,
		"node":                    func(o any) ([]string, error) { return []string{o.(*corev1.Pod).Spec.NodeName}, nil },
	}))
	for n := range pods {
		data, err := wholePod(n).Marshal()
		if err != nil {
			b.Fatal(err)
		}
		decoded := &corev1.Pod{}
		if err := decoded.Unmarshal(data); err != nil {
			b.Fatal(err)
		}
		if err := kept.Add(keep(decoded)); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(kept)
	return (after.HeapAlloc - before.HeapAlloc) / (pods / 1000)
}
