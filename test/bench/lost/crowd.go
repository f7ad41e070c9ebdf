package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// clients delete at the same time.
	clients = 16
	// each batch has so many pods for each way to remove them.
	perWay     = 100
	crowdNodes = 4
)

// A way is how a pod is removed.
type way string

const (
	graceful way = "graceful"
	evicted  way = "evicted"
	forced   way = "forced"
	// collected goes with its owner, emptied with its namespace.
	collected way = "collected"
	emptied   way = "emptied"
)

var ways = []way{graceful, evicted, forced, collected, emptied}

// A throng is a crowd at work.
type throng struct {
	*bench.Cluster
	remover *kubernetes.Clientset
	nodes   []sandbox.Node
}

// crowd has many clients remove pods in every way, batch by batch, from nodes with kubelets, before
// the eyes of two witnesses.
func crowd(ctx context.Context, out io.Writer, c *bench.Cluster, pods int) error {
	remover, err := remover(c)
	if err != nil {
		return err
	}
	t := &throng{Cluster: c, remover: remover}
	for n := range crowdNodes {
		node, err := c.AddNode(ctx, sandbox.NodeSpec{Name: fmt.Sprintf("crowd-%d", n)})
		if err != nil {
			return fmt.Errorf("add a node: %w", err)
		}
		t.nodes = append(t.nodes, node)
	}
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := watch(watching, c)
	if err != nil {
		return err
	}
	second, err := watch(watching, c)
	if err != nil {
		return err
	}
	began, total := time.Now(), 0
	for n := 0; total < pods; n++ {
		if err := t.batch(ctx, n); err != nil {
			return err
		}
		total += perWay * len(ways)
		for _, w := range []*witness{first, second} {
			for _, how := range ways {
				if err := w.sees(ctx, string(how), (n+1)*perWay); err != nil {
					return err
				}
			}
		}
		fmt.Fprintf(out, "crowd: %d pods are gone, %d and %d of them without a reason\n", total,
			len(first.without), len(second.without))
	}
	bench.Result(out, "lost_crowd_pods", float64(total), "pods")
	bench.Result(out, "lost_crowd_s", time.Since(began).Seconds(), "s")
	bench.Result(out, "lost_crowd_reasons", float64(max(len(first.without), len(second.without))),
		"pods")
	return errors.Join(first.verdict(), second.verdict())
}

// batch makes the pods of a batch and removes them.
func (t *throng) batch(ctx context.Context, n int) error {
	doomed := fmt.Sprintf("doomed-%d", n)
	if err := namespace(ctx, t.Client, doomed); err != nil {
		return err
	}
	owner, err := own(ctx, t.Client, fmt.Sprintf("owner-%d", n))
	if err != nil {
		return err
	}
	work, making := errgroup.WithContext(ctx)
	work.SetLimit(2 * clients)
	for _, how := range ways {
		for p := range perWay {
			pod := withGrace(bench.Namespace, fmt.Sprintf("%s-%d-%d", how, n, p),
				t.nodes[p%len(t.nodes)].Name)
			switch how {
			case emptied:
				pod.Namespace = doomed
			case collected:
				pod.OwnerReferences = []metav1.OwnerReference{*owner}
			case graceful, evicted, forced:
			}
			work.Go(func() error { return create(making, t.Client, pod) })
		}
	}
	if err := work.Wait(); err != nil {
		return err
	}
	return t.remove(ctx, n, doomed, owner.Name)
}

// remove removes the pods of a batch, all ways at once.
func (t *throng) remove(ctx context.Context, n int, doomed, owner string) error {
	core, background := t.remover.CoreV1(), metav1.DeletePropagationBackground
	var deletes []func(context.Context) error
	pods := core.Pods(bench.Namespace)
	for p := range perWay {
		name := func(how way) string { return fmt.Sprintf("%s-%d-%d", how, n, p) }
		deletes = append(deletes,
			func(ctx context.Context) error {
				return pods.Delete(ctx, name(graceful), metav1.DeleteOptions{})
			}, func(ctx context.Context) error {
				return pods.EvictV1(ctx, &policyv1.Eviction{
					ObjectMeta: metav1.ObjectMeta{Name: name(evicted)}})
			}, func(ctx context.Context) error {
				return pods.Delete(ctx, name(forced),
					metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))})
			})
	}
	rand.Shuffle(len(deletes), func(i, j int) { deletes[i], deletes[j] = deletes[j], deletes[i] })
	deletes = append([]func(context.Context) error{
		func(ctx context.Context) error {
			return core.Namespaces().Delete(ctx, doomed, metav1.DeleteOptions{})
		}, func(ctx context.Context) error {
			return core.ConfigMaps(bench.Namespace).Delete(ctx, owner,
				metav1.DeleteOptions{PropagationPolicy: &background})
		}}, deletes...)
	work, removing := errgroup.WithContext(ctx)
	work.SetLimit(clients)
	for _, remove := range deletes {
		work.Go(func() error { return remove(removing) })
	}
	if err := work.Wait(); err != nil {
		return fmt.Errorf("remove the pods: %w", err)
	}
	return nil
}

// own makes an owner of pods.
func own(ctx context.Context, c *kubernetes.Clientset, name string) (*metav1.OwnerReference,
	error) {
	o, err := c.CoreV1().ConfigMaps(bench.Namespace).Create(ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create owner %s: %w", name, err)
	}
	return &metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: o.UID}, nil
}

func create(ctx context.Context, c *kubernetes.Clientset, pod *corev1.Pod) error {
	if _, err := c.CoreV1().Pods(pod.Namespace).Create(ctx, pod,
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create pod %s: %w", pod.Name, err)
	}
	return nil
}

// namespace makes a namespace in which pods can be created.
func namespace(ctx context.Context, c *kubernetes.Clientset, name string) error {
	if _, err := c.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) {
			_, err := c.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
			return err == nil, nil
		})
}
