package podcache

import (
	"runtime"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// BenchmarkCachedPods reports the heap that an indexed store needs for a thousand pods, whole and
// as records.
func BenchmarkCachedPods(b *testing.B) {
	records := func(p *corev1.Pod) any { return compact(p, kept{"kept"}) }
	for name, bench := range map[string]struct {
		pod  func(int) *corev1.Pod
		keep func(*corev1.Pod) any
	}{
		"whole":           {wholePod, func(p *corev1.Pod) any { return p }},
		"records":         {wholePod, records},
		"records/pending": {pendingPod, records},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(heapOfThousand(b, bench.pod, bench.keep))/1024,
					"KiB/1000pods")
			}
		})
	}
}

// pendingPod is a wholePod that waits for a node, as one of a hundred templates says.
func pendingPod(n int) *corev1.Pod {
	p := wholePod(n)
	p.Spec.NodeName, p.Status.Phase, p.Spec.SchedulerName = "", corev1.PodPending,
		corev1.DefaultSchedulerName
	p.Spec.NodeSelector = map[string]string{"pool": "gpu", "template": strconv.Itoa(n % 100)}
	// as the API server adds them
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute,
			TolerationSeconds: ptr.To(int64(300)),
		})
	}
	return p
}

func heapOfThousand(b *testing.B, pod func(int) *corev1.Pod, keep func(*corev1.Pod) any) uint64 {
	b.Helper()
	const pods = 30_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kept := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, reading(toolscache.Indexers{
		toolscache.NamespaceIndex: toolscache.MetaNamespaceIndexFunc,
		"node": func(o any) ([]string,
			error) {
			return []string{o.(*corev1.Pod).Spec.NodeName}, nil
		},
	}))
	for n := range pods {
		data, err := pod(n).Marshal()
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
