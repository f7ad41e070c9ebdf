package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/bench"
)

const (
	// perRound pods are deleted around each kill, one every interval: 200 a second.
	perRound = 120
	interval = 5 * time.Millisecond
	// reasonLimit bounds the wait for the reasons after a kill. It is no measure of speed.
	reasonLimit = 3 * time.Minute
)

// losses are what became of the deletions around kills.
type losses struct {
	// answered were deleted before the kill, as far as we know; of unasked deletions, the replica
	// was not asked, or was killed while it answered.
	answered, unasked int
	// anonymous are those of the answered whose reason does not name who asked.
	anonymous int
	// asking is how long the deletions took to be sent.
	asking time.Duration
}

// killed kills the replica amid deletions, again and again, and says what is lost.
func killed(ctx context.Context, out io.Writer, c *bench.Cluster, kills int) error {
	remover, err := remover(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := watch(ctx, c)
	if err != nil {
		return err
	}
	var all losses
	for n := range kills {
		l, err := kill(ctx, c, remover, w, fmt.Sprintf("kill%d", n))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "kill %2d: %d answered, %d of them do not name who asked, %d not asked\n",
			n+1, l.answered, l.anonymous, l.unasked)
		all.answered += l.answered
		all.unasked += l.unasked
		all.anonymous += l.anonymous
		all.asking += l.asking
	}
	bench.Result(out, "lost_kills", float64(kills), "kills")
	bench.Result(out, "lost_kills_deletes_per_s",
		float64(kills*perRound)/all.asking.Seconds(), "deletes/s")
	bench.Result(out, "lost_kills_answered", float64(all.answered), "deletes")
	bench.Result(out, "lost_kills_anonymous", float64(all.anonymous), "deletes")
	bench.Result(out, "lost_kills_unasked", float64(all.unasked), "deletes")
	bench.Result(out, "lost_kills_reasons", float64(len(w.without)), "deletes")
	return w.verdict()
}

// kill deletes the pods of one round, kills the replica in between, and ends the pods once it is
// back and they have their reasons.
func kill(ctx context.Context, c *bench.Cluster, remover *kubernetes.Clientset, w *witness,
	group string) (l losses, err error) {
	if err := c.AddNodes(ctx, group, 1, perRound); err != nil {
		return l, err
	}
	pods := remover.CoreV1().Pods(bench.Namespace)
	answered, deadline := map[string]time.Time{}, perRound/4+rand.IntN(perRound/2)
	var mu sync.Mutex
	var killedAt time.Time
	var deletes errgroup.Group
	began, ticks := time.Now(), time.NewTicker(interval)
	defer ticks.Stop()
	for n := range perRound {
		<-ticks.C
		name := fmt.Sprintf("%s-%d", bench.NodeName(group, 0), n)
		deletes.Go(func() error {
			if err := pods.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				return fmt.Errorf("delete pod %s: %w", name, err)
			}
			mu.Lock()
			defer mu.Unlock()
			answered[name] = time.Now()
			if len(answered) == deadline {
				killedAt = time.Now()
				c.Epitaph.Kill()
			}
			return nil
		})
	}
	l.asking = time.Since(began)
	if err := deletes.Wait(); err != nil {
		return l, err
	}
	if err := c.Epitaph.Start(ctx); err != nil {
		return l, fmt.Errorf("start the replica again: %w", err)
	}
	by, err := reasons(ctx, c, answered)
	if err != nil {
		return l, err
	}
	for name, at := range answered {
		switch {
		case at.After(killedAt):
			l.unasked++
		default:
			l.answered++
			if by[name] != bench.Remover {
				l.anonymous++
			}
		}
	}
	return l, end(ctx, c, w, group, answered)
}

// reasons waits until every pod carries a reason, and returns whom it names.
func reasons(ctx context.Context, c *bench.Cluster,
	names map[string]time.Time) (by map[string]string, err error) {
	err = wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, reasonLimit, true,
		func(ctx context.Context) (bool, error) {
			pods, err := c.Client.CoreV1().Pods(bench.Namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return false, fmt.Errorf("list the pods: %w", err)
			}
			by = map[string]string{}
			for _, p := range pods.Items {
				_, ours := names[p.Name]
				if r, err := reason.DefaultKeys().Pod.OnPod(&p); ours && err == nil {
					by[p.Name] = r.By
				}
			}
			return len(by) == len(names), nil
		})
	if err != nil {
		return nil, fmt.Errorf("wait for the reasons of %d pods, %d have one: %w", len(names),
			len(by), err)
	}
	return by, nil
}

// end ends the pods as their kubelet does.
func end(ctx context.Context, c *bench.Cluster, w *witness, group string,
	names map[string]time.Time) error {
	work, finish := errgroup.WithContext(ctx)
	work.SetLimit(clients)
	for name := range names {
		work.Go(func() error {
			return c.Client.CoreV1().Pods(bench.Namespace).Delete(finish, name,
				metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
		})
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("end the pods: %w", err)
	}
	return w.sees(ctx, group, len(names))
}

// remover is a program that deletes without a word.
func remover(c *bench.Cluster) (*kubernetes.Clientset, error) {
	config := c.As(bench.Remover, "system:masters")
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return client, nil
}

// withGrace is a pod of these benchmarks, bound to a node.
func withGrace(namespace, name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{
			NodeName: node, AutomountServiceAccountToken: ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To(int64(1)),
			Tolerations:                   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers:                    []corev1.Container{{Name: "main", Image: "registry.example/work:1"}},
		},
	}
}
