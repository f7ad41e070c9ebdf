//go:build linux

package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/epitaph-k8s/epitaph/test/binaries"
	"github.com/epitaph-k8s/epitaph/test/kernel/firstroot"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
	"github.com/epitaph-k8s/epitaph/test/realnode"
)

const (
	// nodeFolder is where the second disk is mounted; what is in it.
	nodeFolder       = "/node"
	containerdFolder = "containerd"
	kubeletProgram   = "kubelet"
	// givenFolder is where the machine finds what it was given.
	givenFolder = "/run/epitaph"
	// target is the unit that wants all others of ours.
	target = "node.target"
)

// units are systemd's, besides the one of docs/agent.md. What is in capitals is filled in.
var units = map[string]string{
	target: `[Unit]
Wants=containerd.service kubelet.service guest.service epitaph-boot.service
`,
	"guest.service": `[Unit]
After=systemd-logind.service
[Service]
ExecStart=/run/epitaph/guest beside-kubelet
StandardOutput=file:/dev/console
StandardError=inherit
`,
	"node.mount": `[Mount]
What=/dev/vdb
Where=/node
Type=ext4
`,
	"route.service": `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/sbin/ip route replace default via HOST
`,
	"containerd.service.d/node.conf": `[Unit]
RequiresMountsFor=/node
Requires=route.service
After=route.service
[Service]
ExecStart=
ExecStart=/usr/bin/containerd --config /run/epitaph/containerd.toml
`,
	// The kubelet gives up where the runtime does not answer at once.
	"kubelet.service": `[Unit]
Requires=containerd.service
After=containerd.service
[Service]
ExecStartPre=/bin/sh -c 'until ctr version >/dev/null 2>&1; do sleep 0.2; done'
ExecStart=/node/kubelet KUBELETARGS
TimeoutStartSec=infinity
Restart=always
`,
}

// given are the files that become the machine's /run.
func (o Options) given(kubeconfig []byte) ([]initramfs.File, error) {
	note, err := bootNote()
	if err != nil {
		return nil, err
	}
	args := realnode.KubeletArgs(givenFolder+"/kubelet.yaml", givenFolder+"/kubeconfig", o.Name,
		o.address())
	fill := strings.NewReplacer("HOST", o.Host.String(), "KUBELETARGS", strings.Join(args, " "))
	s := realnode.Stack{Root: nodeFolder + "/" + containerdFolder, CNI: givenFolder + "/cni",
		CgroupDriver: "systemd"}
	files := []initramfs.File{firstroot.Folder("given/epitaph/cni"),
		firstroot.Folder("given/systemd"), firstroot.Folder("given/systemd/system"),
		firstroot.Folder("given/systemd/system/containerd.service.d")}
	contents := map[string]string{
		"epitaph/containerd.toml":             s.Containerd(),
		"epitaph/kubelet.yaml":                s.Kubelet(o.address()),
		"epitaph/cni/10-pods.conflist":        realnode.Network(o.Pods),
		"epitaph/kubeconfig":                  string(kubeconfig),
		"systemd/system/epitaph-boot.service": note,
	}
	for name, unit := range units {
		contents["systemd/system/"+name] = fill.Replace(unit)
	}
	for name, content := range contents {
		files = append(files, firstroot.Text("given/"+name, []byte(content)))
	}
	return files, nil
}

// bootNote is the unit that docs/agent.md gives to people, which notes that a boot ends in good
// order.
func bootNote() (string, error) {
	checkout, err := binaries.Checkout()
	if err != nil {
		return "", err
	}
	page, err := os.ReadFile(filepath.Join(checkout, "docs", "agent.md"))
	if err != nil {
		return "", err
	}
	const first, indent = "[Unit]\n    Description=Note for Epitaph", "    "
	_, rest, ok := strings.Cut(string(page), indent+first)
	if !ok {
		return "", errors.New("find the unit that notes a boot in docs/agent.md")
	}
	var unit strings.Builder
	for line := range strings.Lines(indent + first + rest) {
		text, ok := strings.CutPrefix(line, indent)
		if !ok {
			break
		}
		fmt.Fprint(&unit, text)
	}
	return unit.String(), nil
}
