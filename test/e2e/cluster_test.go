package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

const (
	poll = 100 * time.Millisecond
	// patience bounds every wait for something that must come about. It is no measure of speed: on
	// a busy machine a TLS handshake was seen to take ten seconds.
	patience = 2 * time.Minute
	// leftoverPatience is longer by the precision of the marks and the time that quick sets.
	leftoverPatience = 3 * time.Minute
)

var keys = reason.DefaultKeys()

// A cluster is a sandbox with a witness and an administrator's client.
type cluster struct {
	*sandbox.Sandbox
	client  *kubernetes.Clientset
	witness *witness.Witness
	cancel  context.CancelFunc
	// spent is set if no other test is to have the cluster after this one.
	spent bool
}

func startCluster(ctx context.Context, options sandbox.Options) (*cluster, error) {
	s, err := sandbox.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	c, err := attend(ctx, s)
	if err != nil {
		s.Stop()
	}
	return c, err
}

// attend makes a cluster of a sandbox that is ready.
func attend(ctx context.Context, s *sandbox.Sandbox) (*cluster, error) {
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	w, err := witness.New(ctx, client)
	if err != nil {
		cancel()
		return nil, err
	}
	return &cluster{Sandbox: s, client: client, witness: w, cancel: cancel}, nil
}

// leave ends the witness, and keeps in mind what Epitaph has used its rights for.
func (c *cluster) leave() error {
	c.cancel()
	return rights.collect(c.Sandbox)
}

// Stop leaves the cluster and ends it.
func (c *cluster) Stop() error {
	err := c.leave()
	c.Sandbox.Stop()
	return err
}

// ownClusters are the seats of clusters beside the shared one: each keeps a core busy while it
// starts, and waits more than it works afterwards; two cores are what we count on. Cleared ones wait in used: to begin again takes a
// quarter of the time of a start.
var (
	ownClusters = make(chan struct{}, 2)
	used        = make(chan *sandbox.Sandbox, cap(ownClusters))
)

// ownCluster gives one test a cluster of its own: one that another test has left, if nothing but
// Epitaph is asked for, or a new one. Its subtests must not be parallel ones: those would wait for
// tests that wait for the seat of this cluster. They can run together.
func ownCluster(t *testing.T, options sandbox.Options) *cluster {
	t.Helper()
	ownClusters <- struct{}{}
	t.Cleanup(func() { <-ownClusters })
	ctx := context.WithoutCancel(t.Context())
	others := options
	others.Epitaph = sandbox.EpitaphOptions{}
	options.Again = reflect.ValueOf(others).IsZero()
	c, err := beginCluster(ctx, t, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && c.Epitaph != nil {
			c.showLog(t)
		}
		if err := c.leave(); err != nil {
			t.Error(err)
		}
		c.passOn(ctx, t, options.Again)
	})
	return c
}

// beginCluster makes a cluster of one that was left, or starts one.
func beginCluster(ctx context.Context, t *testing.T, options sandbox.Options) (*cluster, error) {
	t.Helper()
	if !options.Again {
		return startCluster(ctx, options)
	}
	select {
	case s := <-used:
		err := s.Begin(ctx, options.Epitaph)
		if err != nil {
			s.Stop()
			return nil, err
		}
		return attend(ctx, s)
	default:
		return startCluster(ctx, options)
	}
}

// passOn leaves the cluster to another test. One in which a test failed is not worth it, nor is one
// of whose control plane something has ended.
func (c *cluster) passOn(ctx context.Context, t *testing.T, again bool) {
	t.Helper()
	if again && !c.spent && !t.Failed() {
		err := c.Clear(ctx)
		if err == nil {
			used <- c.Sandbox
			return
		}
		t.Logf("no other test gets this cluster: %v", err)
	}
	c.Sandbox.Stop()
}

// stopUsed ends the clusters that no test has asked for again.
func stopUsed() {
	close(used)
	for s := range used {
		s.Stop()
	}
}

// together runs subtests side by side, some at a time, in the place of their parent: parallel ones
// would give it away, and further tests would begin while this one's cluster stands.
func together(t *testing.T, tests map[string]func(*testing.T)) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(4)
	for name, test := range tests {
		group.Go(func() error {
			t.Run(name, test)
			return nil
		})
	}
	_ = group.Wait()
}

func (c *cluster) showLog(t *testing.T) {
	t.Helper()
	const lastBytes = 6000
	if log, err := c.Epitaph.Logs(); err == nil {
		t.Logf("the end of Epitaph's log:\n%s", log[max(0, len(log)-lastBytes):])
	}
}

var serial atomic.Int64

// unique makes a name that no other test has.
func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, serial.Add(1)) }

// namespace makes a namespace in which pods can be created.
func (c *cluster) namespace(t *testing.T) string {
	t.Helper()
	name := unique(
		strings.ToLower(strings.NewReplacer("_", "-", "/", "-", " ", "-").Replace(t.Name())))
	if len(name) > 60 {
		name = unique(name[:50])
	}
	if _, err := c.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		metav1.CreateOptions{}); err != nil {
		t.Fatalf("create namespace %s: %v", name, err)
	}
	c.eventually(t, "namespace "+name+" has its service account",
		func(ctx context.Context) (bool, error) {
			_, err := c.client.CoreV1().ServiceAccounts(name).Get(ctx,
				"default", metav1.GetOptions{})
			return err == nil, nil
		})
	return name
}

// node makes a node of its own for a test. In the shared cluster it goes with the test: hundreds of
// kubelets would renew their Leases there otherwise.
func (c *cluster) node(t *testing.T) sandbox.Node {
	t.Helper()
	n, err := c.AddNode(t.Context(), sandbox.NodeSpec{Name: unique("n")})
	if err != nil {
		t.Fatal(err)
	}
	if c == shared {
		t.Cleanup(func() { c.clear(t, n.Name) })
	}
	return n
}

// clear takes a node away whose test is over, and says so: nobody is to look for its cause.
func (c *cluster) clear(t *testing.T, node string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if err := c.StopKubelet(ctx, node); err != nil {
		t.Error(err)
	}
	over := encode(t, map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{keys.Node.Reason: "the test is over"}}})
	nodes := c.client.CoreV1().Nodes()
	_, err := nodes.Patch(ctx, node, types.MergePatchType, over, metav1.PatchOptions{})
	if err == nil {
		err = nodes.Delete(ctx, node, metav1.DeleteOptions{})
	}
	if err != nil && !apierrors.IsNotFound(err) {
		t.Errorf("clear node %s away: %v", node, err)
	}
}

// eventually waits for a condition.
func (c *cluster) eventually(t *testing.T, what string, is func(context.Context) (bool, error)) {
	t.Helper()
	c.eventuallyWithin(t, patience, what, is)
}

func (c *cluster) eventuallyWithin(t *testing.T, limit time.Duration, what string,
	is func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), poll, limit, true, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// pod creates a pod that runs on a node, and waits until it does.
func (c *cluster) pod(t *testing.T, namespace, node, name string,
	change ...func(*corev1.Pod)) *corev1.Pod {
	t.Helper()
	p := podSpec(namespace, node, name, change...)
	created, err := c.client.CoreV1().Pods(namespace).Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("create pod %s: %v", name, err)
	}
	c.eventually(t, "pod "+name+" runs", func(ctx context.Context) (bool, error) {
		p, err := c.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			created = p
		}
		return err == nil && p.Status.Phase == corev1.PodRunning, nil
	})
	return created
}

// create creates a pod and does not wait for it.
func (c *cluster) create(t *testing.T, p *corev1.Pod) {
	t.Helper()
	if _, err := c.client.CoreV1().Pods(p.Namespace).Create(t.Context(), p,
		metav1.CreateOptions{}); err != nil {
		t.Fatalf("create pod %s: %v", p.Name, err)
	}
}

func podSpec(namespace, node, name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{corev1.LabelHostname: node},
			TerminationGracePeriodSeconds: ptr.To(int64(1)),
			Containers: []corev1.Container{
				{Name: "main", Image: "registry.example/work:1"}},
		},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

// as is a client of somebody else, who may do everything that the administrator may but is a person
// or a program of that name.
func (c *cluster) as(t *testing.T, user string, groups ...string) *kubernetes.Clientset {
	t.Helper()
	config := c.As(user, append(groups, "system:masters")...)
	return c.clientFor(t, config)
}

func (c *cluster) clientFor(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// annotate sets an annotation of a pod as a person would.
func (c *cluster) annotate(t *testing.T, namespace, name, value string) {
	t.Helper()
	patch, err := json.Marshal(
		map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{keys.Pod.Reason: value}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.CoreV1().Pods(namespace).Patch(t.Context(), name, types.MergePatchType,
		patch, metav1.PatchOptions{}); err != nil {
		t.Fatalf("annotate pod %s: %v", name, err)
	}
}

// leaves waits until something has left and checks what it left with, unless the caller wants to
// look for himself.
func (c *cluster) leaves(t *testing.T, s reason.Subject, name string,
	want reason.Reason) witness.Death {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := c.witness.Sees(ctx, s, name)
	if err != nil {
		t.Fatal(err)
	}
	if want != (reason.Reason{}) && d.Reason != want {
		t.Errorf("%s %s left with\n  %+v, want\n  %+v", s, name, d.Reason, want)
	}
	return d
}
