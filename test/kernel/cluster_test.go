//go:build linux

package kernel

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

const (
	poll = 50 * time.Millisecond
	// patience bounds every wait for something that must come about. It is no measure of speed. A
	// panic that is not signed is acted upon after missedRenewal (40 s), and after maxReboot where
	// a lie was refuted before.
	patience = 3 * time.Minute
	// maxReboot is how long a reboot may take here.
	maxReboot = 45 * time.Second
	// atWork is how many machines boot, or live, at the same time. One that is dead, and waits to
	// be removed, takes no processor.
	atWork = 2
	// podsPerNode is how many pods die with each kernel.
	podsPerNode = 10
	// pendingWindow is how long a panic of a living node pends here.
	pendingWindow = 4 * time.Second
	// quietRound is how often nodes are asked here whether they answer.
	quietRound = time.Second
)

// A cluster has two listeners: one as Epitaph is by default, and one that listens to the plain
// format, too.
type cluster struct {
	*sandbox.Sandbox
	client  *kubernetes.Clientset
	witness *witness.Witness
	plain   *sandbox.Epitaph
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	s, err := sandbox.Start(t.Context(), sandbox.Options{
		Nodes: []sandbox.NodeSpec{{Name: "bystander"}},
		Epitaph: sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			listening(c, ":6666")
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Sandbox: s}
	t.Cleanup(func() {
		if t.Failed() {
			c.showLogs(t)
		}
		s.Stop()
	})
	if c.client, err = kubernetes.NewForConfig(s.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	if c.witness, err = witness.New(t.Context(), c.client); err != nil {
		t.Fatal(err)
	}
	c.plain, err = s.AddEpitaph(t.Context(),
		sandbox.EpitaphOptions{Configure: func(c *config.Config) {
			listening(c, ":6667")
			c.Netconsole.AcceptPlain = true
		}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// showLogs shows what the listeners have logged last.
func (c *cluster) showLogs(t *testing.T) {
	t.Helper()
	const lastBytes = 6000
	for _, e := range []*sandbox.Epitaph{c.Epitaph, c.plain} {
		if e == nil {
			continue
		}
		if log, err := e.Logs(); err == nil {
			t.Logf("the end of %s:\n%s", e.LogPath, log[max(0, len(log)-lastBytes):])
		}
	}
}

// listening shortens what would otherwise be waited for; what it takes to believe a panic stays as
// it is by default.
func listening(c *config.Config, address string) {
	c.Netconsole.Address = address
	c.Netconsole.ProofOfDeath.QuietRound = metav1.Duration{Duration: quietRound}
	c.Netconsole.ProofOfDeath.Window = metav1.Duration{Duration: pendingWindow}
	c.Netconsole.ProofOfDeath.MaxReboot = metav1.Duration{Duration: maxReboot}
}

// seats are for the machines that are at work.
var seats = make(chan struct{}, atWork)

// takeSeat waits until another machine may be at work. The seat is left at the end of the test, or
// before.
func takeSeat(t *testing.T) (leave func()) {
	t.Helper()
	select {
	case seats <- struct{}{}:
	case <-t.Context().Done():
		t.Fatal("the test ended before there was a seat for its machine")
	}
	leave = sync.OnceFunc(func() { <-seats })
	t.Cleanup(leave)
	return leave
}

func (c *cluster) eventually(t *testing.T, what string, is func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// fill has pods run on a node, and returns their names.
func (c *cluster) fill(t *testing.T, node string) (pods []string) {
	t.Helper()
	for n := range podsPerNode {
		pods = append(pods, fmt.Sprintf("%s-%d", node, n))
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: pods[n]},
			Spec: corev1.PodSpec{
				NodeSelector: map[string]string{corev1.LabelHostname: node},
				Containers:   []corev1.Container{{Name: "main", Image: "registry.example/work:1"}},
			},
		}
		if _, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).Create(t.Context(), pod,
			metav1.CreateOptions{}); err != nil {
			t.Fatalf("create pod %s: %v", pods[n], err)
		}
	}
	c.eventually(t, "the pods of "+node+" run", func(ctx context.Context) (bool, error) {
		all, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).List(ctx,
			metav1.ListOptions{FieldSelector: "spec.nodeName=" + node + ",status.phase=Running"})
		return err == nil && len(all.Items) == podsPerNode, nil
	})
	return pods
}

// untouched makes sure that nothing was done to a node and its pods.
func (c *cluster) untouched(t *testing.T, node string, pods []string) {
	t.Helper()
	found, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("the node is not left alone: %v", err)
	}
	keys := reason.DefaultKeys()
	if keys.Node.Has(found.Annotations) || found.DeletionTimestamp != nil {
		t.Errorf("the Node was touched: annotations %v, deletion %v", found.Annotations,
			found.DeletionTimestamp)
	}
	for _, name := range pods {
		pod, err := c.client.CoreV1().Pods(metav1.NamespaceDefault).Get(t.Context(), name,
			metav1.GetOptions{})
		if err != nil {
			t.Fatalf("pod %s is not left alone: %v", name, err)
		}
		if keys.Pod.Has(pod.Annotations) || pod.DeletionTimestamp != nil ||
			pod.Status.Phase != corev1.PodRunning {
			t.Errorf("pod %s was touched: annotations %v, deletion %v, phase %s", name,
				pod.Annotations, pod.DeletionTimestamp, pod.Status.Phase)
		}
	}
}

// caller is what Linux 7.0 and later add to a panic where the agent has the target say it.
var caller = regexp.MustCompile(`; in task .{1,15} on CPU \d+\)$`)

// leaves waits until something has left, and compares the reason that its last state carries.
func (c *cluster) leaves(t *testing.T, s reason.Subject, name string,
	want reason.Text) witness.Death {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := c.witness.Sees(ctx, s, name)
	if err != nil {
		t.Fatal(err)
	}
	got := d.Reason
	got.Text = reason.Text(caller.ReplaceAllString(string(got.Text), ")"))
	if w := (reason.Reason{Code: reason.KernelPanic, Text: want,
		By: "epitaph/netconsole"}); got != w {
		t.Errorf("%s %s left with\n  %+v, want\n  %+v", s, name, d.Reason, w)
	}
	return d
}
