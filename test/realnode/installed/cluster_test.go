//go:build linux

package installed

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

const (
	poll = 100 * time.Millisecond
	// patience bounds every wait for something that must come about. It is no measure of speed.
	patience = 3 * time.Minute
	// release and namespace are what the documentation installs.
	release   = "epitaph"
	namespace = "epitaph-system"
	nodeName  = "real-1"
	// playedNode is kwok's: the sandbox has one at least.
	playedNode = "played"
)

// A cluster has a real node, and nothing of Epitaph.
type cluster struct {
	*sandbox.Sandbox
	node    *realnode.Node
	client  *kubernetes.Clientset
	objects client.Client
	witness *witness.Witness
	// registry is one that the real node can pull from.
	registry *registry
	chart    string
	dir      string
}

func startCluster(ctx context.Context, dir string) (*cluster, error) {
	checkout, err := binaries.Checkout()
	if err != nil {
		return nil, err
	}
	s, err := sandbox.Start(ctx, sandbox.Options{
		Out: os.Stdout, RealNodes: true, Nodes: []sandbox.NodeSpec{{Name: playedNode}},
		LeaveOutChart: true, Epitaph: sandbox.EpitaphOptions{LeaveOut: true},
	})
	if err != nil {
		return nil, err
	}
	c := &cluster{Sandbox: s, chart: filepath.Join(checkout, "charts", "epitaph"), dir: dir}
	if err := c.addNode(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) addNode(ctx context.Context) (err error) {
	if c.client, err = kubernetes.NewForConfig(c.RESTConfig()); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme,
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if c.objects, err = client.New(c.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if c.witness, err = witness.New(ctx, c.client); err != nil {
		return err
	}
	if err := c.ServeInCluster(ctx); err != nil {
		return err
	}
	if c.registry, err = startRegistry(ctx, c.Sandbox, c.dir); err != nil {
		return err
	}
	prepared, err := realnode.Prepare(ctx, os.Stdout, c.dir)
	if err != nil {
		return err
	}
	own := filepath.Join(c.dir, nodeName)
	if err := os.MkdirAll(own, 0o755); err != nil {
		return err
	}
	c.node, err = realnode.Start(ctx, c.Sandbox, realnode.Options{
		Prepared: prepared, Name: nodeName, Address: realnode.Address, Pods: realnode.Pods,
		Dir:        own,
		Images:     []string{realnode.ImageIn(c.dir)},
		Registries: map[string][]byte{c.registry.host: c.registry.authority},
	})
	return err
}

func (c *cluster) stop() {
	c.node.Stop()
	c.Stop()
}

// helm runs Helm as the administrator and returns what it printed.
func (c *cluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	said, err := realnode.Helm(t.Context(), c.Sandbox, c.dir, args...)
	if err != nil {
		c.describe(t)
		t.Fatal(err)
	}
	return said
}

// describe logs what is known of Epitaph's pods.
func (c *cluster) describe(t *testing.T) {
	t.Helper()
	for _, p := range c.pods(t, "") {
		t.Logf("pod %s: %s %+v", p.Name, p.Status.Phase, p.Status.ContainerStatuses)
		lines := int64(40)
		if log, err := c.client.CoreV1().Pods(namespace).GetLogs(p.Name,
			&corev1.PodLogOptions{TailLines: &lines}).DoRaw(t.Context()); err == nil {
			t.Logf("its log:\n%s", log)
		}
	}
	events, err := c.client.CoreV1().Events(namespace).List(t.Context(), metav1.ListOptions{})
	must(t, err)
	for _, e := range events.Items {
		if e.Type == corev1.EventTypeWarning {
			t.Logf("%s: %s: %s", e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
}

// pods are those of a component; all of Epitaph's where it is empty.
func (c *cluster) pods(t *testing.T, component string) []corev1.Pod {
	t.Helper()
	selector := ""
	if component != "" {
		selector = "app.kubernetes.io/component=" + component
	}
	pods, err := c.client.CoreV1().Pods(namespace).List(t.Context(),
		metav1.ListOptions{LabelSelector: selector})
	must(t, err)
	return pods.Items
}

// as is somebody who may do everything.
func (c *cluster) as(t *testing.T, user string) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.As(user, "system:masters"))
	must(t, err)
	return client
}

func eventually(t *testing.T, what string, is func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ran prints how long something took.
func ran(what string, began time.Time) {
	fmt.Printf("RESULT node_%s_s %.1f s\n", what, time.Since(began).Seconds())
}
