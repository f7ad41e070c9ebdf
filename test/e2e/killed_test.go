package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// lasting pods take longer to end than anything here.
func lasting(p *corev1.Pod) {
	p.Spec.TerminationGracePeriodSeconds = ptr.To(int64(600))
	metav1.SetMetaDataAnnotation(&p.ObjectMeta, "sandbox.epitaph/shutdown-seconds", "600")
}

// deleteAll has a number of clients delete pods, and says after each one that it was answered.
func (c *cluster) deleteAll(t *testing.T, ns string, names []string, answered func()) {
	t.Helper()
	const clients = 16
	queue := make(chan string, len(names))
	for _, name := range names {
		queue <- name
	}
	close(queue)
	pods, work := c.as(t, runner).CoreV1().Pods(ns), sync.WaitGroup{}
	for range clients {
		work.Go(func() {
			for name := range queue {
				if err := pods.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
					t.Errorf("delete %s: %v", name, err)
				}
				answered()
			}
		})
	}
	work.Wait()
}

// The only replica is killed amid deletions, some of which it has answered and not written yet: who
// asked may be lost, a reason never.
func TestKilledReplicaLosesNoReason(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: alone}})
	ns, node := c.namespace(t), c.node(t).Name
	const many = 90
	var names []string
	for n := range many {
		names = append(names, fmt.Sprintf("p%d", n))
		c.create(t, podSpec(ns, node, names[n], lasting))
	}
	c.running(t, ns, many, "")
	first, second := names[:many/3], names[many/3:]
	c.deleteAll(t, ns, first, func() {})
	c.haveReasons(t, ns, first)

	var once sync.Once
	var answered sync.Mutex
	n := 0
	c.deleteAll(t, ns, second, func() {
		answered.Lock()
		defer answered.Unlock()
		if n++; n > len(second)/2 {
			once.Do(c.Epitaph.Kill)
		}
	})
	c.restart(t)
	by := c.haveReasons(t, ns, names)
	for _, name := range first {
		if by[name] != runner {
			t.Errorf("pod %s was deleted by %q, want %s", name, by[name], runner)
		}
	}
	lost := 0
	for _, name := range second {
		if by[name] != runner {
			lost++
		}
	}
	t.Logf("of %d deletions around the kill, %d do not say who asked", len(second), lost)
	for _, name := range names {
		if err := c.as(t, cleaner).CoreV1().Pods(ns).Delete(t.Context(), name,
			atOnce); err != nil {
			t.Errorf("end %s: %v", name, err)
		}
		c.leaves(t, reason.Pod, ns+"/"+name, reason.Reason{})
	}
}

// haveReasons waits until pods carry a reason, and returns who is named in each.
func (c *cluster) haveReasons(t *testing.T, ns string, names []string) (by map[string]string) {
	t.Helper()
	c.eventually(t, "all pods carry a reason", func(ctx context.Context) (bool, error) {
		pods, err := c.client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, err
		}
		by = map[string]string{}
		for _, p := range pods.Items {
			r, err := keys.Pod.Read(p.Annotations)
			if slices.Contains(names, p.Name) && err == nil {
				by[p.Name] = r.By
			}
		}
		return len(by) == len(names), nil
	})
	return by
}

// A crowd deletes, and the kubelets' final DELETEs fall among the others: the last event of each
// pod has its reason.
func TestCrowdOfDeletesLosesNoReason(t *testing.T) {
	t.Parallel()
	ns, nodes := shared.namespace(t), []string{shared.node(t).Name, shared.node(t).Name}
	const many = 200
	var names []string
	for n := range many {
		names = append(names, fmt.Sprintf("p%d", n))
		shared.create(t, podSpec(ns, nodes[n%len(nodes)], names[n]))
	}
	shared.running(t, ns, many, "")
	shared.deleteAll(t, ns, names, func() {})
	for _, name := range names {
		shared.leaves(t, reason.Pod, ns+"/"+name, unexplained)
	}
}
