package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"golang.org/x/sync/errgroup"

	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// Namespace is where the pods of benchmarks are.
	Namespace = "bench"
	// writers is how many requests the benchmark's own preparation has in flight.
	writers = 32
	// Remover is who deletes nodes: a program that says nothing.
	Remover = "system:serviceaccount:ci:runner"
	prepare = 5 * time.Minute
)

// A Cluster is a sandbox to measure in.
type Cluster struct {
	*sandbox.Sandbox
	Client *kubernetes.Clientset
	// ProviderID, if set, returns the provider ID of a node that is made; it is otherwise one of the
	// sandbox's own cloud.
	ProviderID func(node string) string
}

// Start starts a sandbox with the namespace of the benchmark.
func Start(ctx context.Context, options sandbox.Options) (*Cluster, error) {
	s, err := sandbox.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(fast(s.RESTConfig()))
	if err != nil {
		s.Stop()
		return nil, fmt.Errorf("make a client: %w", err)
	}
	c := &Cluster{Sandbox: s, Client: client}
	if err := c.prepareNamespace(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return c, nil
}

func fast(c *rest.Config) *rest.Config {
	c.QPS, c.Burst = 5000, 5000
	return c
}

func (c *Cluster) prepareNamespace(ctx context.Context) error {
	_, err := c.Client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", Namespace, err)
	}
	return wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) {
			_, err := c.Client.CoreV1().ServiceAccounts(Namespace).Get(ctx,
				"default", metav1.GetOptions{})
			return err == nil, nil
		})
}

// AddNodes makes nodes without kubelets, which the cloud believes in, with pods bound to each of
// them.
func (c *Cluster) AddNodes(ctx context.Context, prefix string, nodes, podsEach int) error {
	ctx, cancel := context.WithTimeout(ctx, prepare*4)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for n := range nodes {
		name := NodeName(prefix, n)
		group.Go(func() error { return c.addNode(ctx, name) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	group, ctx = errgroup.WithContext(context.WithoutCancel(ctx))
	group.SetLimit(writers)
	for n := range nodes {
		for p := range podsEach {
			group.Go(func() error {
				_, err := c.addPod(ctx, NodeName(prefix, n), p)
				return err
			})
		}
	}
	return group.Wait()
}

// NodeName is the name of the nth node of a group.
func NodeName(prefix string, n int) string { return fmt.Sprintf("%s-%d", prefix, n) }

func (c *Cluster) addNode(ctx context.Context, name string) error {
	if err := os.WriteFile(filepath.Join(c.Instances, name), nil, 0o644); err != nil {
		return fmt.Errorf("make the instance of node %s: %w", name, err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.NodeSpec{ProviderID: "folder://" + name}}
	if c.ProviderID != nil {
		node.Spec.ProviderID = c.ProviderID(name)
	}
	if _, err := c.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create node %s: %w", name, err)
	}
	return nil
}

func podName(node string, n int) string { return fmt.Sprintf("%s-%d", node, n) }

// addPod makes a pod of the size that real ones have: most of a pod is what its owner and its
// kubelet write.
func (c *Cluster) addPod(ctx context.Context, node string, n int) (*corev1.Pod, error) {
	env := []corev1.EnvVar{}
	for i := range 10 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i),
			Value: "a value of some length, as they have"})
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: podName(node, n),
			Labels: map[string]string{"app": "bench", "pod-template-hash": "6c54bd5869",
				"tier": "batch"},
			Annotations: map[string]string{
				"example.com/checksum": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"},
		},
		Spec: corev1.PodSpec{
			NodeName: node, AutomountServiceAccountToken: ptr.To(false),
			Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{Name: "main", Image: "registry.example/work:1",
				Env: env}},
		},
	}
	made, err := c.Client.CoreV1().Pods(Namespace).Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create pod %s: %w", pod.Name, err)
	}
	return made, nil
}

// DeleteNodes deletes nodes all at once, after it has written on each why it goes.
func (c *Cluster) DeleteNodes(ctx context.Context, prefix string, nodes int, why string) error {
	remover, err := kubernetes.NewForConfig(fast(c.As(Remover, "system:masters")))
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	if why != "" {
		if err := c.explain(ctx, prefix, nodes, why); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for n := range nodes {
		group.Go(func() error {
			name := NodeName(prefix, n)
			if err := remover.CoreV1().Nodes().Delete(ctx, name,
				metav1.DeleteOptions{}); err != nil {
				return fmt.Errorf("delete node %s: %w", name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (c *Cluster) explain(ctx context.Context, prefix string, nodes int, why string) error {
	r := reason.New(reason.Node, reason.HardwareFailure, why, "bench")
	patch, err := json.Marshal(
		map[string]any{"metadata": map[string]any{
			"annotations": reason.DefaultKeys().Node.Annotations(r)}})
	if err != nil {
		return fmt.Errorf("encode the reason: %w", err)
	}
	for n := range nodes {
		name := NodeName(prefix, n)
		if _, err := c.Client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch,
			metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("annotate node %s: %w", name, err)
		}
	}
	return nil
}

// Result prints one line of the outcome.
func Result(out io.Writer, name string, value float64, unit string) {
	fmt.Fprintf(out, "RESULT %s %.2f %s\n", name, value, unit)
}
