//go:build linux

package realnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/realnode/plan"
	"github.com/epitaph-k8s/epitaph/test/sandbox"
)

const (
	// startLimit bounds the start, in which the images are unpacked. On an idle machine it takes 3
	// s.
	startLimit = 3 * time.Minute
	// stopGrace is how long the kernel has for ending every process of the node.
	stopGrace = 20 * time.Second
	poll      = 100 * time.Millisecond
)

// Prepared are the programs and the images of every node.
type Prepared struct {
	// Kubelet is the program, and Images are OCI archives of those of the tests' own.
	Kubelet string
	Images  []string
	// Runtime is the folder of containerd's programs, empty for those of the machine.
	Runtime string

	init string
}

// ownContainerd has nodes run our containerd 2, whatever the machine has.
var ownContainerd = os.Getenv("EPITAPH_CONTAINERD") == "2"

// Prepare builds, or finds in the caches, what nodes need. The folder has to stay while nodes run.
func Prepare(ctx context.Context, out io.Writer, dir string) (Prepared, error) {
	paths, err := binaries.Ensure(ctx, out, binaries.Kubelet)
	if err != nil {
		return Prepared{}, err
	}
	p := Prepared{Kubelet: paths["kubelet"], init: filepath.Join(dir, "init")}
	if ownContainerd {
		if paths, err = binaries.Ensure(ctx, out, binaries.Containerd); err != nil {
			return Prepared{}, err
		}
		p.Runtime = filepath.Dir(paths["containerd"])
	}
	if err := binaries.Static(ctx, "test/realnode/init", p.init); err != nil {
		return Prepared{}, err
	}
	p.Images, err = writeImages(ctx, dir)
	return p, err
}

// Options are what a node is given.
type Options struct {
	Prepared
	// Name is the node's.
	Name string
	// Address is the node's, an address of this machine's; Pods is the network of its pods.
	Address netip.Addr
	Pods    netip.Prefix
	// Dir is a folder of the node's own.
	Dir string
	// Images are further OCI archives.
	Images []string
	// Registries are those of an authority of their own: HOST:PORT, and that in PEM.
	Registries map[string][]byte
	// Labels are the node's.
	Labels map[string]string
}

// A Node runs until Stop, or until its sandbox is stopped.
type Node struct {
	o       Options
	sandbox *sandbox.Sandbox
	process *sandbox.Process
}

// Start starts a node of the sandbox, and waits until it can take pods.
func Start(ctx context.Context, s *sandbox.Sandbox, o Options) (*Node, error) {
	if err := o.writeConfigs(); err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(o.Dir, "kubeconfig")
	if err := s.JoinNode(o.Name, kubeconfig); err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, "plan.json")
	p := plan.Plan{
		Name: o.Name, Dir: o.Dir, Logs: s.Logs,
		Cgroup:  "epitaph-" + o.Name + "-" + strconv.Itoa(os.Getpid()),
		Kubelet: o.Kubelet, KubeletArgs: o.kubeletArgs(kubeconfig), Runtime: o.Runtime,
		Images: append(slices.Clone(o.Prepared.Images), o.Images...),
	}
	if err := p.Write(file); err != nil {
		return nil, err
	}
	process, err := s.Launch(o.Name, o.init, file)
	if err != nil {
		return nil, err
	}
	n := &Node{o: o, sandbox: s, process: process}
	if err := n.ready(ctx); err != nil {
		n.Stop()
		return nil, errors.Join(err, n.lastWords())
	}
	return n, nil
}

func (o Options) kubeletArgs(kubeconfig string) []string {
	args := KubeletArgs(filepath.Join(o.Dir, plan.KubeletConfig), kubeconfig, o.Name, o.Address)
	for key, value := range o.Labels {
		args = append(args, "--node-labels="+key+"="+value)
	}
	return args
}

// KubeletArgs are what a kubelet is started with.
func KubeletArgs(config, kubeconfig, name string, address netip.Addr) []string {
	return []string{
		"--config=" + config, "--kubeconfig=" + kubeconfig, "--root-dir=" + plan.KubeletRoot,
		"--hostname-override=" + name, "--node-ip=" + address.String(),
		"--cert-dir=" + plan.KubeletRoot + "/pki", "--v=2",
	}
}

// Stop switches the node off, as a power cut does, and returns when nothing of it is left.
func (n *Node) Stop() { n.process.StopWithin(stopGrace) }

// Open opens a file of the node's, at the path that it has there.
func (n *Node) Open(path string) (*os.File, error) {
	inner, err := n.inner()
	if err != nil {
		return nil, err
	}
	return os.Open(filepath.Join("/proc", inner, "root", path))
}

// Exec runs a program of the machine as one of the node's processes, and returns what it printed.
func (n *Node) Exec(ctx context.Context, program string, args ...string) ([]byte, error) {
	inner, err := n.inner()
	if err != nil {
		return nil, err
	}
	all := append([]string{"--target=" + inner, "--mount", "--pid", "--uts", "--", program},
		args...)
	said, err := exec.CommandContext(ctx, "nsenter", all...).CombinedOutput()
	if err != nil {
		return said, fmt.Errorf("run %s on node %s: %w\n%s", program, n.o.Name, err, said)
	}
	return said, nil
}

// inner is the process ID of the node's process 1, the only child of what was started.
func (n *Node) inner() (string, error) {
	outer := strconv.Itoa(n.process.PID())
	children, err := filepath.Glob("/proc/" + outer + "/task/*/children")
	if err != nil {
		return "", err
	}
	for _, file := range children {
		content, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("find the processes of node %s: %w", n.o.Name, err)
		}
		var child int
		if _, err := fmt.Sscan(string(content), &child); err == nil {
			return strconv.Itoa(child), nil
		}
	}
	return "", fmt.Errorf("node %s has no process", n.o.Name)
}

// ready waits until pods can be scheduled to the node.
func (n *Node) ready(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(n.sandbox.RESTConfig())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		node, err := client.CoreV1().Nodes().Get(ctx, n.o.Name, metav1.GetOptions{})
		if err == nil && isReady(node) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for node %s: %w (%w)", n.o.Name, ctx.Err(), err)
		case <-n.process.Exited():
			return fmt.Errorf("node %s ended before it was ready", n.o.Name)
		case <-time.After(poll):
		}
	}
}

func isReady(node *corev1.Node) bool {
	ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	return ready && len(node.Spec.Taints) == 0
}

// lastWords is the end of each of the node's logs, as an error.
func (n *Node) lastWords() error {
	const lastBytes = 3000
	var all error
	for _, path := range []string{n.process.LogPath, n.log("containerd"), n.log("kubelet")} {
		if log, err := os.ReadFile(path); err == nil {
			all = errors.Join(all, fmt.Errorf("the end of %s:\n%s", path,
				log[max(0, len(log)-lastBytes):]))
		}
	}
	return all
}

func (n *Node) log(program string) string {
	return filepath.Join(n.sandbox.Logs, n.o.Name+"-"+program+".log")
}
