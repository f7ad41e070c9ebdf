//go:build linux

package realnode

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/epitaph-k8s/epitaph/test/realnode/plan"
)

// A Stack is what the configuration of a node's programs depends on.
type Stack struct {
	// Root is where containerd keeps images and containers; CNI is the folder of the network's
	// configuration.
	Root, CNI string
	// CgroupDriver is the kubelet's and containerd's: cgroupfs or systemd.
	CgroupDriver string
	// Registries is a folder with a folder for each registry that not everybody trusts
	// (https://github.com/containerd/containerd/blob/main/docs/hosts.md).
	Registries string
}

// Containerd is containerd's configuration.
func (s Stack) Containerd() string {
	return fmt.Sprintf(containerdConfig, s.Root, s.CNI, s.CgroupDriver == "systemd",
		s.Registries)
}

// Kubelet is the kubelet's configuration, for a node of that address.
func (s Stack) Kubelet(address netip.Addr) string {
	return fmt.Sprintf(kubeletConfig, address, s.CgroupDriver)
}

// Network is CNI's configuration of the pods' network; its file has to end in ".conflist".
func Network(pods netip.Prefix) string { return fmt.Sprintf(cniConfig, pods) }

// containerdConfig is version 2 of the format, which containerd 1.6 to 2 read. Nothing may be
// written outside of the node's folders.
const containerdConfig = `version = 2
root = %[1]q
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "` + plan.ContainerdSocket + `"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + PauseImage + `"
  restrict_oom_score_adj = true
  disable_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "` + cniPlugins + `"
    conf_dir = %[2]q
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %[4]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = %[3]t
`

// cniConfig gives each pod a cable to the node, and an address of the node's.
const cniConfig = `{
  "cniVersion": "0.4.0", "name": "pods",
  "plugins": [{
    "type": "ptp",
    "ipam": {"type": "host-local", "dataDir": "/var/lib/cni", "ranges": [[{"subnet": %[1]q}]], "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
`

// kubeletConfig has what the tests need beside what a container on a machine of cgroups v1 needs. A
// Lease is renewed every quarter of its duration.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]q
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: %[2]s
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://` + plan.ContainerdSocket + `
evictionHard: {memory.available: 50Mi}
evictionPressureTransitionPeriod: 5s
failCgroupV1: false
failSwapOn: false
healthzPort: 0
imageGCHighThresholdPercent: 100
localStorageCapacityIsolation: false
makeIPTablesUtilChains: false
nodeLeaseDurationSeconds: 8
nodeStatusUpdateFrequency: 2s
podLogsDir: /var/log/pods
registerNode: true
runtimeRequestTimeout: 5m
serverTLSBootstrap: false
staticPodPath: ` + plan.StaticPods + `
volumePluginDir: ` + plan.KubeletRoot + `/plugins-exec
`

func (o Options) writeConfigs() error {
	cni := filepath.Join(o.Dir, plan.CNIConfig)
	if err := os.MkdirAll(cni, 0o755); err != nil {
		return fmt.Errorf("make the folder of node %s: %w", o.Name, err)
	}
	s := Stack{Root: plan.ContainerdRoot, CNI: cni, CgroupDriver: "cgroupfs",
		Registries: filepath.Join(o.Dir, "registries")}
	if err := o.trustRegistries(s.Registries); err != nil {
		return err
	}
	for path, content := range map[string]string{
		filepath.Join(o.Dir, plan.ContainerdConfig): s.Containerd(),
		filepath.Join(cni, "10-pods.conflist"):      Network(o.Pods),
		filepath.Join(o.Dir, plan.KubeletConfig):    s.Kubelet(o.Address),
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("configure node %s: %w", o.Name, err)
		}
	}
	return nil
}

// trustRegistries writes which authority each registry's certificate is of.
func (o Options) trustRegistries(dir string) error {
	for host, authority := range o.Registries {
		own := filepath.Join(dir, host)
		if err := os.MkdirAll(own, 0o755); err != nil {
			return fmt.Errorf("have node %s trust a registry: %w", o.Name, err)
		}
		ca := filepath.Join(own, "ca.crt")
		if err := os.WriteFile(ca, authority, 0o644); err != nil {
			return fmt.Errorf("have node %s trust a registry: %w", o.Name, err)
		}
		hosts := fmt.Appendf(nil, "server = %q\n[host.%q]\n  ca = %q\n", "https://"+host,
			"https://"+host, ca)
		if err := os.WriteFile(filepath.Join(own, "hosts.toml"), hosts, 0o644); err != nil {
			return fmt.Errorf("have node %s trust a registry: %w", o.Name, err)
		}
	}
	return nil
}
