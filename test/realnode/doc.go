// Package realnode adds a real node to a sandbox's control plane: the kubelet of the release,
// containerd and runc, in namespaces of this machine. Pods run there in containers, are probed,
// evicted and stopped as everywhere, and leave as a kubelet lets them leave.
//
// What the node needs comes from sources: the kubelet from its module, the images from programs of
// this checkout, packed without a registry. containerd, runc and the CNI plugins are the
// distribution's.
//
// Invariant: when Stop returns, or this process is killed, no process, mount or network device of
// the node is left.
//
// What this package does not do: bring a kernel of its own. What a panic, a shutdown or configfs
// does, test/kernel shows on machines in QEMU.
package realnode
