package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/test/bench"
)

const (
	// namespace is that of epitaph-cloud.
	namespace = "epitaph-system"
	// ccm is whom the big clouds' controllers delete Nodes as.
	ccm = "system:serviceaccount:kube-system:node-controller"
	// firstQuestion is how long after a Node's end the cloud is asked about it, at most, on a busy
	// machine, and goneLimit how long a pod may stay.
	firstQuestion = time.Minute
	goneLimit     = 2 * time.Minute
	// settle is how long a cluster rests after a program has started and nodes have left, before
	// anything is measured: the two cores are those of all of them. What hangs does so for longer,
	// since its questions are asked again.
	settle = 8 * time.Second
)

// An end is how long the DELETE of a Node took, and how long after it was sent each pod was gone.
type end struct {
	node time.Duration
	pods []time.Duration
}

type ends struct {
	cluster             *bench.Cluster
	ccm                 *kubernetes.Clientset
	program, kubeconfig string
	batch               int
	all                 map[kind][]end
}

// instanceOf returns an instance of EC2 for a node.
func instanceOf(node string) string {
	sum := fnv.New64a()
	sum.Write([]byte(node))
	return fmt.Sprintf("aws:///eu-west-1c/i-%017x", sum.Sum64())
}

// turn has some Nodes leave about which the cloud is then asked, and measures how another one
// leaves while the cloud answers, or does not.
func (b *ends) turn(ctx context.Context, k kind) error {
	b.batch++
	first, measured := fmt.Sprintf("q%d", b.batch), fmt.Sprintf("m%d", b.batch)
	if err := b.cluster.AddNodes(ctx, first, asking, 1); err != nil {
		return err
	}
	if err := b.cluster.AddNodes(ctx, measured, 1, pods); err != nil {
		return err
	}
	cloud, stop, err := b.ask(k)
	if err != nil {
		return err
	}
	defer stop()
	for n := range asking {
		if _, err := b.delete(ctx, bench.NodeName(first, n)); err != nil {
			return err
		}
	}
	if cloud != nil {
		if err := asked(ctx, cloud); err != nil {
			return err
		}
	}
	time.Sleep(settle)
	e, err := b.measure(ctx, measured)
	if err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	b.all[k] = append(b.all[k], e)
	return nil
}

// ask starts epitaph-cloud, and a cloud for it, unless nobody is to ask.
func (b *ends) ask(k kind) (*ec2, func(), error) {
	if k == none {
		return nil, func() {}, nil
	}
	cloud := startEC2(k == hangs)
	args := append(slices.Clone(environment), b.program, "--ask", "aws", "--per-second", "100",
		"--aws-endpoint", cloud.URL, "--kubeconfig", b.kubeconfig)
	p, err := b.cluster.Launch(fmt.Sprintf("epitaph-cloud-%d", b.batch), "/usr/bin/env", args...)
	if err != nil {
		cloud.Close()
		return nil, nil, err
	}
	return cloud, func() {
		p.Stop()
		cloud.CloseClientConnections()
		cloud.Close()
	}, nil
}

// asked waits until the cloud was asked about as many Nodes as are asked about at once.
func asked(ctx context.Context, cloud *ec2) error {
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, firstQuestion, true,
		func(context.Context) (bool, error) { return cloud.asked.Load() >= asking, nil })
	if err != nil {
		return fmt.Errorf("the cloud was asked %d times, want %d: %w", cloud.asked.Load(), asking,
			err)
	}
	return nil
}

func (b *ends) measure(ctx context.Context, prefix string) (end, error) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	tally, err := b.cluster.Tally(watching, prefix)
	if err != nil {
		return end{}, err
	}
	began := time.Now()
	node, err := b.delete(ctx, bench.NodeName(prefix, 0))
	if err != nil {
		return end{}, err
	}
	course, err := tally.Wait(ctx, pods, began, goneLimit)
	if err == nil && course.WithoutReason > 0 {
		err = fmt.Errorf("%d of %d pods left without a reason", course.WithoutReason, course.Pods)
	}
	return end{node: node, pods: course.All}, err
}

// delete deletes a Node as the cloud's controller does, and returns how long that took.
func (b *ends) delete(ctx context.Context, node string) (time.Duration, error) {
	began := time.Now()
	if err := b.ccm.CoreV1().Nodes().Delete(ctx, node, metav1.DeleteOptions{}); err != nil {
		return 0, fmt.Errorf("delete node %s: %w", node, err)
	}
	return time.Since(began), nil
}
