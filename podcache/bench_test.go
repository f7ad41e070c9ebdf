package podcache

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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
		"records/owned":   {ownedPod, records},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(float64(heapOfThousand(b, 30_000, bench.pod, bench.keep))/1024,
					"KiB/1000pods")
			}
		})
	}
}

// pendingPod is a wholePod that waits for a node, made from one of a hundred templates.
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

// ownedPod is a wholePod that has an owner in common with six or seven others.
func ownedPod(n int) *corev1.Pod {
	p := wholePod(n)
	owner := n * 2 / 15
	p.Namespace = "team-" + strconv.Itoa(owner%20)
	p.OwnerReferences[0].Name = "worker-" + strconv.Itoa(owner)
	p.OwnerReferences[0].UID = types.UID(fmt.Sprintf("7a6f7c1e-4f0a-4a52-9a3e-%012d", owner))
	return p
}

// Owners take little: those of 150,000 pods, 20,000 of them, less than 40 MB.
func TestHeapOfOwners(t *testing.T) {
	const most = 40 << 20 / 150
	of := func(pod func(int) *corev1.Pod) int64 {
		return heapOfThousand(t, 6000, pod,
			func(p *corev1.Pod) any { return compact(p, kept{"kept"}) })
	}
	if without, with := of(wholePod), of(ownedPod); with > without+most {
		t.Errorf("a thousand pods take %d bytes, and with their owners %d, want at most %d more",
			without, with, most)
	}
}

// heapOfThousand is what a thousand of so many pods take.
func heapOfThousand(b testing.TB, pods int, pod func(int) *corev1.Pod,
	keep func(*corev1.Pod) any) int64 {
	b.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what was kept in pools
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
	return (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / int64(pods/1000)
}
