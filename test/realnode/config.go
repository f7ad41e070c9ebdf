//go:build linux

package realnode

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/epitaph-k8s/epitaph/test/realnode/plan"
)

// containerdConfig is version 2 of the format, which containerd 1.6 to 2 read. Nothing may be
// written outside of the node's folders.
const containerdConfig = `version = 2
root = "` + plan.ContainerdRoot + `"
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
    conf_dir = %[1]q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
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
cgroupDriver: cgroupfs
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
serverTLSBootstrap: false
staticPodPath: ` + plan.StaticPods + `
volumePluginDir: ` + plan.KubeletRoot + `/plugins-exec
`

func (o Options) writeConfigs() error {
	cni := filepath.Join(o.Dir, plan.CNIConfig)
	if err := os.MkdirAll(cni, 0o755); err != nil {
		return fmt.Errorf("make the folder of node %s: %w", o.Name, err)
	}
	for path, content := range map[string]string{
		filepath.Join(o.Dir, plan.ContainerdConfig): fmt.Sprintf(containerdConfig, cni),
		filepath.Join(cni, "10-pods.conflist"):      fmt.Sprintf(cniConfig, o.Pods),
		filepath.Join(o.Dir, plan.KubeletConfig):    fmt.Sprintf(kubeletConfig, o.Address),
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("configure node %s: %w", o.Name, err)
		}
	}
	return nil
}
