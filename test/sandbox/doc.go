// Package sandbox runs a whole cluster on this machine, out of real parts: etcd, kube-apiserver,
// kube-controller-manager, kube-scheduler, a cloud-controller-manager, kwok in place of the
// kubelets, and Epitaph.
//
// What is real: everything that decides (scheduling, preemption, taints, evictions, garbage
// collection, the cloud's Node deletion), authentication, authorization and admission. What is not:
// no container runs. A Node is an address of this machine's loopback network with a TLS server on
// the kubelet's port; that server is the node's user space and falls silent with it. kwok moves
// pods through their phases; the Leases are renewed from here, and the last DELETE of a pod comes
// from here, under the node's own name, because kwok has one identity for all nodes.
//
// Invariant: nothing outlives Stop, nor the process that called Start, however it ends (see
// process.go). Every step of Start has a bound, and an error that shows what the guilty program
// said last.
//
// It needs Linux and an IPv4 loopback network; no root, no container runtime, no network.
package sandbox
