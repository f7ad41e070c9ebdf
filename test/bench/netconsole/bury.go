package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	victim      = "node-1"
	limit       = time.Minute
	// secret is what an agent would have had the victim's kernel sign with.
	secret = "c2lnbmVkIGluIHRoZSBiZW5jaG1hcms"
)

// buryOne lets a full node panic on the real control plane.
func buryOne(ctx context.Context, out io.Writer) error {
	log.SetLogger(logr.Discard())
	c, err := bench.Start(ctx, sandbox.Options{Out: out, Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
		c.Netconsole.ProofOfDeath.QuietRound = metav1.Duration{Duration: time.Second}
	}}})
	if err != nil {
		return err
	}
	defer c.Stop()
	if err := fill(ctx, c); err != nil {
		return err
	}
	tally, err := c.Tally(ctx, "node")
	if err != nil {
		return err
	}
	node, err := victimOf(c)
	if err != nil {
		return err
	}
	if err := c.Announce(ctx, node, secret); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // a quiet round
	if err := c.StopKubelet(ctx, victim); err != nil {
		return err
	}
	began := time.Now()
	if err := panics(ctx, c, node); err != nil {
		return err
	}
	course, err := tally.Wait(ctx, podsOfANode, began, limit)
	if err != nil {
		return err
	}
	probe, intent, err := trialAndIntent(ctx, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "proof of death took %.3f s; of %d pods the first was gone after %.3f s, the last after %.3f s; %d without a reason\n",
		probe, course.Pods, course.First.Seconds(), course.Last.Seconds(), course.WithoutReason)
	bench.Result(out, "netconsole_intent_ms", 1000*(intent-probe), "ms after the proof of death")
	bench.Result(out, "netconsole_last_of_110_s", course.Last.Seconds()-probe, "s after the proof of death")
	return nil
}

func fill(ctx context.Context, c *bench.Cluster) error {
	const writers = 16
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for n := range podsOfANode {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("full-%d", n)},
			Spec:       corev1.PodSpec{NodeName: victim, Containers: []corev1.Container{{Name: "main", Image: "registry.example/work:1"}}},
		}
		group.Go(func() error {
			if _, err := c.Client.CoreV1().Pods(bench.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("create pod %s: %w", pod.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func victimOf(c *bench.Cluster) (sandbox.Node, error) {
	for _, n := range c.Nodes() {
		if n.Name == victim {
			return n, nil
		}
	}
	return sandbox.Node{}, fmt.Errorf("the sandbox has no %s", victim)
}

// panics sends the panic from the node's address.
func panics(ctx context.Context, c *bench.Cluster, node sandbox.Node) error {
	dialer := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(node.Address)}}
	conn, err := dialer.DialContext(ctx, "udp", c.Epitaph.Config.Netconsole.Address)
	if err != nil {
		return fmt.Errorf("send from %s: %w", victim, err)
	}
	defer conn.Close()
	said := sandbox.Signed([]byte("0,400,9000000,-;Kernel panic - not syncing: sysrq triggered crash\n"), secret)
	if _, err := conn.Write(said); err != nil {
		return fmt.Errorf("send from %s: %w", victim, err)
	}
	return nil
}

// trialAndIntent reads how long after the datagram the one panic was judged, and the intent was written.
func trialAndIntent(ctx context.Context, c *bench.Cluster) (trial, intent float64, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Epitaph.MetricsURL, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("read the metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, 0, fmt.Errorf("read the metrics: %w", err)
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return 0, 0, fmt.Errorf("parse the metrics: %w", err)
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
