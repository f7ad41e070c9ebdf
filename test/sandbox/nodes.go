package sandbox

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
)

const (
	// kubeletLabel marks the nodes whose kubelet lives: kwok cares for these only. Taking it off is
	// how a kubelet dies.
	kubeletLabel      = "sandbox.epitaph/kubelet"
	kubeletLabelValue = "alive"
	// instancePoll is how often the folder of instances is looked at.
	instancePoll = 100 * time.Millisecond
	// zones is over how many zones the nodes are spread.
	zones = 3
	// maxNodes is how many addresses nodeNetwork has.
	maxNodes = 254
)

// nodeNetwork is where the nodes' addresses come from. All of 127.0.0.0/8 is this machine, so
// datagrams can be sent from any of them without asking anybody.
var nodeNetwork = netip.MustParsePrefix("127.0.1.0/24")

// clouds are those whose instances the cloud-controller-manager plays beside its own, as provider
// IDs begin. What others make, such as Karpenter's kwok provider, is none of its business.
var clouds = []string{"aws", "azure", "gce"}

// A NodeSpec is a node to be made.
type NodeSpec struct {
	Name string
	// CPU and Memory are what pods can have; 4 and 8Gi where they are empty.
	CPU, Memory string
	// Labels are added to those that every node has.
	Labels map[string]string
	// ProviderID is the instance in a cloud; one of the sandbox's own if it is empty. TakeInstanceAway
	// takes those of clouds, too.
	ProviderID string
	// Address is that of a machine which is the node, and whose own user space answers there; one
	// of this machine, where the sandbox answers, if it is not set.
	Address netip.Addr
}

// A Node is a node of the sandbox, whether its kubelet lives or not.
type Node struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	BootID  string `json:"bootID"`
}

// A node is a Node, and what this process does for it. The sandbox's mutex guards bootID, kubelet
// and renewer.
type node struct {
	name, bootID string
	address      netip.Addr
	// hold keeps the address ours while the kubelet is dead, against other sandboxes of this
	// machine; nil where the address is another machine's.
	hold net.PacketConn
	// kubelet is nil when it is dead, or cut off.
	kubelet *userSpace
	// renewer renews the node's Lease; nil while the kubelet is dead.
	renewer *renewer
}

func (n *node) release() {
	if n.kubelet != nil {
		n.kubelet.close()
	}
	if n.renewer != nil {
		n.renewer.cancel()
	}
	if n.hold != nil {
		_ = n.hold.Close()
	}
}

// Nodes are the nodes that were made, in that order, gone ones included.
func (s *Sandbox) Nodes() []Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	var nodes []Node
	for _, n := range s.nodes {
		nodes = append(nodes, Node{Name: n.name, Address: n.address.String(), BootID: n.bootID})
	}
	return nodes
}

func (s *Sandbox) startNodes(ctx context.Context) error {
	if _, err := s.launchKwok(); err != nil {
		return err
	}
	s.mu.Lock()
	s.ownPrograms = len(s.processes)
	s.mu.Unlock()
	if err := s.watch(); err != nil {
		return err
	}
	return s.makeNodes(ctx)
}

// makeNodes makes the nodes that the sandbox has at the start, and waits for them.
func (s *Sandbox) makeNodes(ctx context.Context) error {
	specs := s.options.Nodes
	if len(specs) == 0 {
		var err error
		if specs, err = NumberedNodes(DefaultNodes); err != nil {
			return err
		}
	}
	for _, spec := range specs {
		if _, err := s.createNode(ctx, spec); err != nil {
			return err
		}
	}
	kwok := s.Processes()[s.ownPrograms-1]
	return kwok.ready(ctx, startLimit, s.allReady)
}

// NumberedNodes are n nodes, node-1, node-2 and so on.
func NumberedNodes(n int) ([]NodeSpec, error) {
	if n < 1 || n > maxNodes {
		return nil, fmt.Errorf("%d nodes: between 1 and %d are possible", n, maxNodes)
	}
	specs := make([]NodeSpec, n)
	for i := range specs {
		specs[i].Name = "node-" + strconv.Itoa(i+1)
	}
	return specs, nil
}

// AddNode makes a node: the cloud's instance, the Node object, its kubelet; and waits until it can
// take pods. A node that is gone can be made again under its name: it then has the same address and
// another boot ID.
func (s *Sandbox) AddNode(ctx context.Context, spec NodeSpec) (Node, error) {
	n, err := s.createNode(ctx, spec)
	if err != nil {
		return Node{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := s.nodeReady(ctx, n.Name)
		if err == nil {
			return n, nil
		}
		select {
		case <-ctx.Done():
			return n, fmt.Errorf("wait for node %s: %w", n.Name, err)
		case <-time.After(probeInterval):
		}
	}
}

// TakeInstanceAway removes the cloud's instance of the node. Its kubelet dies with it, and the Node
// is then deleted by the cloud-controller-manager, some five seconds later.
func (s *Sandbox) TakeInstanceAway(name string) error {
	if err := os.Remove(filepath.Join(s.Instances, name)); err != nil {
		return fmt.Errorf("take the instance of %s away: %w", name, err)
	}
	return nil
}

// StopKubelet kills the node's kubelet and all its user space: no heartbeat, no progress of its
// pods, no answer on its TLS port. When it returns, the Lease is not renewed any more. The cloud's
// instance stays.
func (s *Sandbox) StopKubelet(ctx context.Context, name string) error {
	s.mu.Lock()
	n := s.find(name)
	if n == nil {
		s.mu.Unlock()
		return fmt.Errorf("stop the kubelet of %s: the sandbox has no such node", name)
	}
	kubelet, renewer := n.kubelet, n.renewer
	n.kubelet, n.renewer = nil, nil
	s.mu.Unlock()
	if kubelet != nil {
		kubelet.close()
	}
	renewer.stop()
	unlabel := []byte(`{"metadata":{"labels":{"` + kubeletLabel + `":null}}}`)
	_, err := s.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, unlabel,
		metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("take node %s from kwok: %w", name, err)
	}
	return nil
}

// StartKubelet boots a node whose kubelet is dead: it comes back under a new boot ID, if its Node
// is still there.
func (s *Sandbox) StartKubelet(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(name)
	if n == nil || n.kubelet != nil {
		return fmt.Errorf("start the kubelet of %s: it lives, or there is no such node", name)
	}
	bootID := string(uuid.NewUUID())
	booted := []byte(`{"status":{"nodeInfo":{"bootID":"` + bootID + `"}}}`)
	if _, err := s.client.CoreV1().Nodes().Patch(ctx, name, types.StrategicMergePatchType, booted,
		metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("boot node %s: %w", name, err)
	}
	label := []byte(`{"metadata":{"labels":{"` + kubeletLabel + `":"` + kubeletLabelValue + `"}}}`)
	if _, err := s.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, label,
		metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("hand node %s to kwok: %w", name, err)
	}
	n.bootID = bootID
	s.startRenewing(n)
	return s.boot(n)
}

// ResumeKubelet ends a restart of a kubelet that StopKubelet began: it comes back in the same boot.
func (s *Sandbox) ResumeKubelet(ctx context.Context, name string) error {
	if err := s.Reconnect(name); err != nil {
		return err
	}
	label := []byte(`{"metadata":{"labels":{"` + kubeletLabel + `":"` + kubeletLabelValue + `"}}}`)
	if _, err := s.client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, label,
		metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("hand node %s to kwok: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.find(name); n != nil {
		s.startRenewing(n)
	}
	return nil
}

// CutOff takes the node out of everybody's reach: nothing answers on its TLS port, while its
// kubelet goes on renewing the Lease.
func (s *Sandbox) CutOff(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(name)
	if n == nil || n.kubelet == nil {
		return fmt.Errorf("cut node %s off: it does not answer, or there is no such node", name)
	}
	n.kubelet.close()
	n.kubelet = nil
	return nil
}

// Reconnect has a node answer again that was cut off.
func (s *Sandbox) Reconnect(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(name)
	if n == nil || n.kubelet != nil {
		return fmt.Errorf("reconnect node %s: it answers, or there is no such node", name)
	}
	return s.boot(n)
}

func (s *Sandbox) createNode(ctx context.Context, spec NodeSpec) (Node, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.find(spec.Name)
	if n == nil {
		n = &node{name: spec.Name, address: spec.Address}
		if !spec.Address.IsValid() {
			var err error
			if n.address, n.hold, err = freeAddress(nodeNetwork); err != nil {
				return Node{}, err
			}
		}
		s.nodes = append(s.nodes, n)
	}
	n.bootID = string(uuid.NewUUID())
	object, err := n.object(spec, slices.Index(s.nodes, n))
	if err != nil {
		return Node{}, err
	}
	if err := s.giveInstance(n.name); err != nil {
		return Node{}, err
	}
	if _, err := s.client.CoreV1().Nodes().Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return Node{}, fmt.Errorf("make node %s: %w", n.name, err)
	}
	s.startRenewing(n)
	return Node{Name: n.name, Address: n.address.String(), BootID: n.bootID}, s.boot(n)
}

func (s *Sandbox) giveInstance(node string) error {
	if err := os.WriteFile(filepath.Join(s.Instances, node), []byte("running\n"),
		0o644); err != nil {
		return fmt.Errorf("give node %s an instance: %w", node, err)
	}
	return nil
}

func (s *Sandbox) boot(n *node) error {
	if n.kubelet != nil || n.hold == nil {
		return nil
	}
	kubelet, err := s.openUserSpace(n)
	n.kubelet = kubelet
	return err
}

func (s *Sandbox) find(name string) *node {
	i := slices.IndexFunc(s.nodes, func(n *node) bool { return n.name == name })
	if i < 0 {
		return nil
	}
	return s.nodes[i]
}

// object is the Node as its kubelet would register it.
func (n *node) object(spec NodeSpec, index int) (*corev1.Node, error) {
	capacity, err := capacityOf(spec)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{
		kubeletLabel:               kubeletLabelValue,
		corev1.LabelHostname:       n.name,
		corev1.LabelOSStable:       "linux",
		corev1.LabelArchStable:     "amd64",
		corev1.LabelTopologyRegion: "sandbox",
		corev1.LabelTopologyZone:   "sandbox-" + string(rune('a'+index%zones)),
	}
	for key, value := range spec.Labels {
		labels[key] = value
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: labels},
		Spec:       corev1.NodeSpec{ProviderID: cmp.Or(spec.ProviderID, "folder://"+n.name)},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: n.address.String()},
				{Type: corev1.NodeHostName, Address: n.name},
			},
			DaemonEndpoints: corev1.NodeDaemonEndpoints{
				KubeletEndpoint: corev1.DaemonEndpoint{Port: kubeletPort}},
			NodeInfo: corev1.NodeSystemInfo{
				BootID: n.bootID, MachineID: n.name, SystemUUID: n.name, OperatingSystem: "linux",
				Architecture:   "amd64",
				KubeletVersion: "v1.37.2", ContainerRuntimeVersion: "kwok",
				KernelVersion: "sandbox", OSImage: "sandbox",
			},
		},
	}, nil
}

func capacityOf(spec NodeSpec) (corev1.ResourceList, error) {
	if spec.CPU == "" {
		spec.CPU = "4"
	}
	if spec.Memory == "" {
		spec.Memory = "8Gi"
	}
	cpu, cpuErr := resource.ParseQuantity(spec.CPU)
	memory, memoryErr := resource.ParseQuantity(spec.Memory)
	if err := errors.Join(cpuErr, memoryErr); err != nil {
		return nil, fmt.Errorf("read the capacity of node %s: %w", spec.Name, err)
	}
	return corev1.ResourceList{
		corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory,
		corev1.ResourcePods: resource.MustParse("110"),
	}, nil
}

func (s *Sandbox) allReady(ctx context.Context) error {
	for _, n := range s.Nodes() {
		if err := s.nodeReady(ctx, n.Name); err != nil {
			return err
		}
	}
	return nil
}

// nodeReady wants the taint of new nodes gone, too: until then no pod is scheduled there.
func (s *Sandbox) nodeReady(ctx context.Context, name string) error {
	object, err := s.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	ready := slices.ContainsFunc(object.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	if !ready || len(object.Spec.Taints) > 0 {
		return fmt.Errorf("node %s: ready %t, %d taints", name, ready, len(object.Spec.Taints))
	}
	return nil
}

//go:embed stages/*.yaml
var stages embed.FS

func (s *Sandbox) writeStages() error {
	if err := os.CopyFS(s.dir, stages); err != nil {
		return fmt.Errorf("write kwok's stages: %w", err)
	}
	return nil
}

func (s *Sandbox) launchKwok() (*Process, error) {
	files, err := fs.Glob(stages, "stages/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list kwok's stages: %w", err)
	}
	args := []string{
		"--kubeconfig=" + s.path("kubeconfigs", "kwok"),
		"--manage-nodes-with-label-selector=" + kubeletLabel + "=" + kubeletLabelValue,
		// The Leases are not kwok's business (leases.go).
		"--node-lease-duration-seconds=0",
		"--cidr=10.244.0.0/16",
	}
	for _, file := range files {
		args = append(args, "--config="+s.path(file))
	}
	return s.launch("kwok", args...)
}
