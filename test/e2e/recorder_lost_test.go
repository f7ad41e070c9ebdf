package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

// deleters is how many requests of a test are in flight.
const deleters = 8

// unbound makes pods that wait for a scheduler that does not exist: a delete is their end.
func (c *cluster) unbound(t *testing.T, ns string, n int) map[types.UID]string {
	t.Helper()
	uids := map[types.UID]string{}
	var mu sync.Mutex
	each(n, func(i int) {
		p := podSpec(ns, "", fmt.Sprintf("p-%d", i), func(p *corev1.Pod) {
			p.Spec.NodeSelector, p.Spec.SchedulerName, p.Spec.AutomountServiceAccountToken = nil,
				"nobody", ptr.To(false)
		})
		created, err := c.client.CoreV1().Pods(ns).Create(t.Context(), p, metav1.CreateOptions{})
		if err != nil {
			t.Errorf("create pod %s: %v", p.Name, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		uids[created.UID] = created.Name
	})
	if t.Failed() {
		t.FailNow()
	}
	return uids
}

// each calls do for 0 to n-1, several at a time and about in that order.
func each(n int, do func(int)) {
	next := make(chan int)
	var all sync.WaitGroup
	for range deleters {
		all.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// insistsOnDeleting deletes a pod whatever becomes of the webhook and the API server meanwhile.
func (c *cluster) insistsOnDeleting(t *testing.T, by *kubernetes.Clientset, ns, pod string) {
	t.Helper()
	c.eventually(t, "pod "+pod+" is deleted", func(ctx context.Context) (bool, error) {
		err := by.CoreV1().Pods(ns).Delete(ctx, pod, metav1.DeleteOptions{})
		return err == nil || apierrors.IsNotFound(err), nil
	})
}

// onceEach waits until every pod is recorded and checks that each is once.
func (c *cluster) onceEach(t *testing.T, ns string, uids map[types.UID]string) {
	t.Helper()
	c.eventuallyWithin(t, 3*patience, fmt.Sprintf("%d pods are recorded", len(uids)),
		func(context.Context) (bool, error) {
			return len(c.obituaries(t, ns)) >= len(uids), nil
		})
	times := map[types.UID]int{}
	for _, o := range c.obituaries(t, ns) {
		times[o.Spec.PodUID]++
		if uids[o.Spec.PodUID] != o.Spec.PodName {
			t.Errorf("pod %s (%s) is recorded and was none of ours", o.Spec.PodName, o.Spec.PodUID)
		}
	}
	for uid, name := range uids {
		if times[uid] != 1 {
			t.Errorf("pod %s is recorded %d times, want once", name, times[uid])
		}
	}
}

// unlimited keeps whatever a test records.
func unlimited(c *config.Config) {
	quick(c)
	c.Retention.Pods.MaxPerNamespace = 10_000
	c.Audit.Events = false
}

func TestRecordIsCompleteWhenTheLeaderIsKilled(t *testing.T) {
	t.Parallel()
	c := ownCluster(t, sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: unlimited}})
	second, err := c.AddEpitaph(t.Context(), sandbox.EpitaphOptions{Configure: unlimited})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Stop)
	ns := c.namespace(t)
	const many = 1000
	uids := c.unbound(t, ns, many)
	by := c.as(t, runner)
	atKill := 0
	each(many, func(i int) {
		if i == many/2 {
			atKill = len(c.obituaries(t, ns))
			c.Epitaph.Kill()
		}
		c.insistsOnDeleting(t, by, ns, fmt.Sprintf("p-%d", i))
	})
	if atKill == 0 || atKill == many {
		t.Fatalf("%d of %d were recorded when the leader was killed: this tested nothing", atKill,
			many)
	}
	c.onceEach(t, ns, uids)
	log, err := second.Logs()
	if err != nil || !strings.Contains(log, "recording pods that leave") {
		t.Errorf("the second replica did not take over (%v)", err)
	}
	if strings.Contains(log, "unrecorded") {
		t.Error("the second replica says that pods left unrecorded")
	}
}

func TestRecordIsCompleteThoughNobodyRan(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			unlimited(c)
			c.LeaderElection.Enabled = false
		}}})
	ns, by := c.namespace(t), c.as(t, runner)
	const many = 200
	uids := c.unbound(t, ns, many)
	c.insistsOnDeleting(t, by, ns, "p-0")
	c.recorded(t, ns, "p-0")
	c.Epitaph.Kill()
	each(many, func(i int) { c.insistsOnDeleting(t, by, ns, fmt.Sprintf("p-%d", i)) })
	c.restart(t)
	c.onceEach(t, ns, uids)
}

// The API server is killed while nobody records: its own memory of events is gone as well, and what
// left is found in history, with the words that were written last.
func TestRecordIsCompleteWhenTheAPIServerForgets(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			unlimited(c)
			c.LeaderElection.Enabled = false
		}}})
	ns, by := c.namespace(t), c.as(t, runner)
	const many = 100
	uids := c.unbound(t, ns, many)
	c.insistsOnDeleting(t, by, ns, "p-0")
	c.recorded(t, ns, "p-0")
	time.Sleep(3 * time.Second) // the position is written every two
	c.Epitaph.Kill()
	for i := 1; i < many; i++ {
		c.annotate(t, ns, fmt.Sprintf("p-%d", i), fmt.Sprintf("the words of %d", i))
		c.insistsOnDeleting(t, by, ns, fmt.Sprintf("p-%d", i))
	}
	if err := c.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.restart(t)
	c.onceEach(t, ns, uids)
	for _, o := range c.obituaries(t, ns) {
		if want := "the words of " + strings.TrimPrefix(o.Spec.PodName,
			"p-"); o.Spec.PodName != "p-0" && o.Spec.Reason != want {
			t.Errorf("pod %s is recorded with %q, want %q", o.Spec.PodName, o.Spec.Reason, want)
		}
	}
	if log, err := c.Epitaph.Logs(); err != nil ||
		!strings.Contains(log, "the watch had a gap, and what left in it was looked up") {
		t.Errorf("the gap was not noticed (%v): this tested nothing", err)
	}
}

func TestRecordIsCompleteWhenTheAPIServerRestarts(t *testing.T) {
	t.Parallel()
	// Who loses the lease meanwhile ends, and no kubelet starts Epitaph again here.
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			unlimited(c)
			c.LeaderElection.Enabled = false
		}}})
	ns, by := c.namespace(t), c.as(t, runner)
	const many = 300
	uids := c.unbound(t, ns, many)
	var restarting sync.WaitGroup
	each(many, func(i int) {
		if i == many/2 {
			restarting.Go(func() {
				if err := c.RestartAPIServer(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		c.insistsOnDeleting(t, by, ns, fmt.Sprintf("p-%d", i))
	})
	restarting.Wait()
	c.onceEach(t, ns, uids)
}

// More is deleted at once than the queue holds: the watch has to wait, and nothing is dropped.
func TestRecordIsCompleteAfterABurst(t *testing.T) {
	t.Parallel()
	c := ownCluster(t,
		sandbox.Options{Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			unlimited(c)
			c.Webhook.Enabled = false
			c.Audit.Workers = 1
		}}})
	ns := c.namespace(t)
	const queue = 1024
	uids := c.unbound(t, ns, 2*queue)
	c.eventuallyWithin(t, 3*patience, "everything is deleted",
		func(ctx context.Context) (bool, error) {
			// On a busy machine one call takes longer than the API server lets it: then the next
			// goes on.
			return c.client.CoreV1().Pods(ns).DeleteCollection(ctx, metav1.DeleteOptions{},
				metav1.ListOptions{}) == nil, nil
		})
	c.onceEach(t, ns, uids)
}
