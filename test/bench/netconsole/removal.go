package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/netconsole"
	"github.com/epitaph-k8s/epitaph/test/bench"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// podsOfANode is how many pods a kubelet takes.
	podsOfANode = 110
	// signer and mute panic, with and without the token that an agent has announced.
	signer, mute = "node-1", "node-2"
	limit        = 3 * time.Minute
	// secret is what an agent would have had the signer's kernel sign with.
	secret = "c2lnbmVkIGluIHRoZSBiZW5jaG1hcms"
)

// removeBoth lets two full nodes panic on the real control plane, one after the other. Their deaths
// are proven with the default settings; only that a node answers is learned faster than within a
// minute.
func removeBoth(ctx context.Context, out io.Writer) error {
	log.SetLogger(logr.Discard())
	c, err := bench.Start(ctx, sandbox.Options{Out: out,
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			c.Netconsole.ProofOfDeath.QuietRound = metav1.Duration{Duration: time.Second}
		}}})
	if err != nil {
		return err
	}
	defer c.Stop()
	node, err := nodeOf(c, signer)
	if err != nil {
		return err
	}
	if err := c.SignWith(ctx, node, secret); err != nil {
		return err
	}
	course, err := removal(ctx, c, out, signer, secret)
	if err != nil {
		return err
	}
	probe, intent, err := trialAndIntent(ctx, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "proof of death took %.3f s\n", probe)
	bench.Result(out, "netconsole_intent_ms", 1000*(intent-probe), "ms after the proof of death")
	bench.Result(out, "netconsole_last_of_110_s", course.Last.Seconds()-probe,
		"s after the proof of death")
	_, err = removal(ctx, c, out, mute, "")
	return err
}

// removal lets a full node panic, and waits until it and its pods are gone.
func removal(ctx context.Context, c *bench.Cluster, out io.Writer, victim,
	secret string) (course bench.Course, err error) {
	if err := fill(ctx, c, victim); err != nil {
		return course, err
	}
	tally, err := c.Tally(ctx, victim)
	if err != nil {
		return course, err
	}
	node, err := nodeOf(c, victim)
	if err != nil {
		return course, err
	}
	time.Sleep(2 * time.Second) // a quiet round
	gone, err := nodeGone(ctx, c, victim)
	if err != nil {
		return course, err
	}
	if err := c.StopKubelet(ctx, victim); err != nil {
		return course, err
	}
	began := time.Now()
	if err := panics(ctx, c, node, secret); err != nil {
		return course, err
	}
	if course, err = tally.Wait(ctx, podsOfANode, began, limit); err != nil {
		return course, err
	}
	select {
	case at := <-gone:
		kind := "unsigned"
		if secret != "" {
			kind = "signed"
		}
		fmt.Fprintf(out,
			"%s panic: of %d pods the first was gone after %.3f s, the last after %.3f s, the Node after %.3f s; %d without a reason\n",
			kind, course.Pods, course.First.Seconds(), course.Last.Seconds(),
			at.Sub(began).Seconds(), course.WithoutReason)
		bench.Result(out, "netconsole_"+kind+"_last_pod_s", course.Last.Seconds(),
			"s after the panic")
		bench.Result(out, "netconsole_"+kind+"_node_s", at.Sub(began).Seconds(),
			"s after the panic")
		return course, nil
	case <-ctx.Done():
		return course, ctx.Err()
	case <-time.After(limit):
		return course, fmt.Errorf("node %s is not gone after %s", victim, limit)
	}
}

// nodeGone tells when the Node is deleted.
func nodeGone(ctx context.Context, c *bench.Cluster, name string) (<-chan time.Time, error) {
	w, err := c.Client.CoreV1().Nodes().Watch(ctx,
		metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return nil, fmt.Errorf("watch node %s: %w", name, err)
	}
	gone := make(chan time.Time, 1)
	go func() {
		defer w.Stop()
		for e := range w.ResultChan() {
			if e.Type == watch.Deleted {
				gone <- time.Now()
				return
			}
		}
	}()
	return gone, nil
}

func fill(ctx context.Context, c *bench.Cluster, victim string) error {
	const writers = 16
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for n := range podsOfANode {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("on-%s-%d", victim, n)},
			Spec: corev1.PodSpec{NodeName: victim,
				Containers: []corev1.Container{{Name: "main", Image: "registry.example/work:1"}}},
		}
		group.Go(func() error {
			if _, err := c.Client.CoreV1().Pods(bench.Namespace).Create(ctx, pod,
				metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("create pod %s: %w", pod.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func nodeOf(c *bench.Cluster, name string) (sandbox.Node, error) {
	for _, n := range c.Nodes() {
		if n.Name == name {
			return n, nil
		}
	}
	return sandbox.Node{}, fmt.Errorf("the sandbox has no %s", name)
}

// panics sends the panic from the node's address.
func panics(ctx context.Context, c *bench.Cluster, node sandbox.Node, secret string) error {
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(node.Address)}}
	conn, err := dialer.DialContext(ctx, "udp", c.Epitaph.Config.Netconsole.Address)
	if err != nil {
		return fmt.Errorf("send from %s: %w", node.Name, err)
	}
	defer conn.Close()
	said := []byte("0,400,9000000,-;Kernel panic - not syncing: sysrq triggered crash\n")
	if secret != "" {
		said = sandbox.Signed(said, secret)
	}
	if _, err := conn.Write(said); err != nil {
		return fmt.Errorf("send from %s: %w", node.Name, err)
	}
	return nil
}

// trialAndIntent reads how long after the datagram the one panic was judged, and the intent was
// written.
func trialAndIntent(ctx context.Context, c *bench.Cluster) (trial, intent float64, err error) {
	families, err := c.Epitaph.Metrics(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, m := range families[netconsole.MetricTrialSeconds].GetMetric() {
		trial += m.GetHistogram().GetSampleSum()
	}
	for _, m := range families[netconsole.MetricStepSeconds].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetValue() == "intent" {
				intent = m.GetHistogram().GetSampleSum()
			}
		}
	}
	return trial, intent, nil
}
