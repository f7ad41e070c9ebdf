// Package plan is what a node's init is told: a file that test/realnode writes and
// test/realnode/init reads.
package plan

import (
	"encoding/json"
	"fmt"
	"os"
)

// A Plan is a node to be.
type Plan struct {
	// Name is the node's, and its host name.
	Name string
	// Dir holds the configuration files, and is the node's own; Logs is where its programs log.
	Dir, Logs string
	// Cgroup is the name of the node's cgroup in each hierarchy, below that of whoever starts it.
	Cgroup string
	// Kubelet is the program, and KubeletArgs what it is given.
	Kubelet     string
	KubeletArgs []string
	// Runtime is the folder of containerd's programs, empty for those of the machine.
	Runtime string
	// Images are OCI archives, imported before the kubelet starts.
	Images []string
}

// Files of Dir that are bound to where programs look for them.
const (
	ContainerdConfig = "containerd.toml"
	KubeletConfig    = "kubelet.yaml"
	CNIConfig        = "cni"
)

// Folders of the node, which the rest of the machine does not see.
const (
	ContainerdSocket = "/run/containerd/containerd.sock"
	ContainerdRoot   = "/var/lib/containerd"
	KubeletRoot      = "/var/lib/kubelet"
	StaticPods       = "/var/lib/static-pods"
)

// Write puts the plan into a file.
func (p Plan) Write(path string) error {
	content, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the plan of node %s: %w", p.Name, err)
	}
	return os.WriteFile(path, content, 0o644)
}

// Read is the opposite of Write.
func Read(path string) (p Plan, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(content, &p)
}
