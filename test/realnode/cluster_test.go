//go:build linux

package realnode_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason"
	"github.com/epitaph-k8s/epitaph/test/realnode"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
	"github.com/epitaph-k8s/epitaph/test/witness"
)

const (
	poll = 50 * time.Millisecond
	// patience bounds every wait for something that must come about. It is no measure of speed.
	patience = 3 * time.Minute
)

var keys = reason.DefaultKeys()

// A cluster is a sandbox with a witness, an administrator's client and a real node.
type cluster struct {
	*sandbox.Sandbox
	node    *realnode.Node
	client  *kubernetes.Clientset
	objects client.Client
	witness *witness.Witness
	dir     string
}

func newCluster(ctx context.Context, s *sandbox.Sandbox, dir string) (*cluster, error) {
	clientset, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	objects, err := client.New(s.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	w, err := witness.New(ctx, clientset)
	if err != nil {
		return nil, err
	}
	if err := s.ServeInCluster(ctx); err != nil {
		return nil, err
	}
	prepared, err := realnode.Prepare(ctx, os.Stdout, dir)
	if err != nil {
		return nil, err
	}
	own := filepath.Join(dir, nodeName)
	if err := os.MkdirAll(own, 0o755); err != nil {
		return nil, err
	}
	node, err := realnode.Start(ctx, s, realnode.Options{Prepared: prepared, Name: nodeName,
		Address: realnode.Address, Pods: realnode.Pods, Dir: own})
	if err != nil {
		return nil, err
	}
	return &cluster{Sandbox: s, node: node, client: clientset, objects: objects, witness: w,
		dir: dir}, nil
}

func (c *cluster) stop() {
	c.node.Stop()
	c.Stop()
}

// worker is a pod with one container that does as the arguments of test/realnode/worker say.
func worker(name string, args ...string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault},
		Spec: corev1.PodSpec{
			NodeSelector:  map[string]string{corev1.LabelHostname: nodeName},
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "main", Image: realnode.WorkerImage, ImagePullPolicy: corev1.PullNever,
				Args: args,
			}},
			TerminationGracePeriodSeconds: ptr.To(int64(30)),
		},
	}
}

// create creates a pod and does not wait for it.
func (c *cluster) create(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	created, err := c.client.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod,
		metav1.CreateOptions{})
	must(t, err)
	return created
}

// runs creates a pod, and waits until it runs.
func (c *cluster) runs(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	c.create(t, pod)
	return c.comes(t, pod.Name,
		"it runs", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
}

// comes waits until a pod is as it is to be.
func (c *cluster) comes(t *testing.T, name, what string,
	is func(*corev1.Pod) bool) (pod *corev1.Pod) {
	t.Helper()
	c.eventually(t, "pod "+name+": "+what, func(ctx context.Context) (bool, error) {
		var err error
		pod, err = c.client.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, name,
			metav1.GetOptions{})
		return err == nil && is(pod), nil
	})
	return pod
}

func (c *cluster) eventually(t *testing.T, what string, is func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), poll, patience, true, is); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// as is somebody who may do everything.
func (c *cluster) as(t *testing.T, user string) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.As(user, "system:masters"))
	must(t, err)
	return client
}

// saysWhy has a person say why the pod has to go.
func (c *cluster) saysWhy(t *testing.T, name, why string) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, keys.Pod.Reason, why)
	_, err := c.as(t, alice).CoreV1().Pods(metav1.NamespaceDefault).Patch(t.Context(), name,
		types.MergePatchType, patch, metav1.PatchOptions{})
	must(t, err)
}

// leaves waits until a pod has left, and returns its last state.
func (c *cluster) leaves(t *testing.T, name string) witness.Death {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := c.witness.Sees(ctx, reason.Pod, metav1.NamespaceDefault+"/"+name)
	must(t, err)
	return d
}

// why is what the plugin says of a pod that is gone.
func (c *cluster) why(t *testing.T, name string, args ...string) string {
	t.Helper()
	var said bytes.Buffer
	c.eventually(t, "pod "+name+" is on record", func(ctx context.Context) (bool, error) {
		said.Reset()
		cmd := exec.CommandContext(ctx, c.Programs["kubectl"],
			append([]string{"epitaph", "why", "pod/" + name, "--namespace=default"}, args...)...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig,
			"PATH="+c.dir+":"+os.Getenv("PATH"))
		cmd.Stdout, cmd.Stderr = &said, &said
		return cmd.Run() == nil, nil
	})
	return said.String()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runtime is what runs the node's containers, in its kubelet's words.
func (c *cluster) runtime(ctx context.Context) string {
	node, err := c.client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err.Error()
	}
	return node.Status.NodeInfo.ContainerRuntimeVersion
}
