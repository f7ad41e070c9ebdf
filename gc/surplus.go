package gc

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/epitaph-k8s/epitaph/reason"
)

// A finishedPod is what the order of removal needs: some 150 bytes each, and the threshold bounds
// their number.
type finishedPod struct {
	key     types.NamespacedName
	uid     types.UID
	created time.Time
	evicted bool
}

// finishedPods are all finished pods that are not yet settled.
type finishedPods struct {
	mu   sync.Mutex
	pods map[types.UID]finishedPod
}

func newFinishedPods() *finishedPods { return &finishedPods{pods: map[types.UID]finishedPod{}} }

// note adds the pod if it counts, else drops it, and returns how many there are.
func (f *finishedPods) note(pod *corev1.Pod, counts bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !counts {
		delete(f.pods, pod.UID)
		return len(f.pods)
	}
	f.pods[pod.UID] = finishedPod{
		key: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, uid: pod.UID,
		created: pod.CreationTimestamp.Time,
		evicted: pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == evictedByKubelet,
	}
	return len(f.pods)
}

// evictedByKubelet is the status reason of a pod that the kubelet evicted (pkg/kubelet/eviction,
// PodIsEvicted).
const evictedByKubelet = "Evicted"

// exceed reports whether there are more than threshold.
func (f *finishedPods) exceed(threshold int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.pods) > threshold
}

// beyond returns the pods beyond the threshold, in the order of removal.
func (f *finishedPods) beyond(threshold int) []finishedPod {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.pods) - threshold
	if n <= 0 {
		return nil
	}
	all := make([]finishedPod, 0, len(f.pods))
	for _, p := range f.pods {
		all = append(all, p)
	}
	slices.SortFunc(all, removalOrder)
	return all[:n]
}

// removalOrder is the built-in collector's: pods that the kubelet evicted first, then the oldest,
// then by name (pkg/controller/podgc, byEvictionAndCreationTimestamp).
func removalOrder(a, b finishedPod) int {
	if a.evicted != b.evicted {
		if a.evicted {
			return -1
		}
		return 1
	}
	return cmp.Or(a.created.Compare(b.created), strings.Compare(a.key.Name, b.key.Name),
		strings.Compare(a.key.Namespace, b.key.Namespace))
}

// surplusDelay lets one examination cover pods that finish together.
const surplusDelay = time.Second

// noteFinished counts the finished pods, and queues the surplus for examination if there is one.
func (c *Collector) noteFinished(pod *corev1.Pod, hasReason bool) {
	if c.config.TerminatedPodThreshold == 0 {
		return
	}
	if c.finished.note(pod, reason.Finished(pod) &&
		!settled(pod, hasReason)) > c.config.TerminatedPodThreshold {
		c.subjects.AddAfter(subject{surplus: true}, surplusDelay)
	}
}

// forgetFinished drops a pod that is gone.
func (c *Collector) forgetFinished(pod *corev1.Pod) { c.finished.note(pod, false) }

// examineSurplus queues the finished pods beyond the threshold.
func (c *Collector) examineSurplus() {
	for _, p := range c.finished.beyond(c.config.TerminatedPodThreshold) {
		c.turns.add(task{pod: p.key, uid: p.uid, cause: CauseTerminated})
	}
}
