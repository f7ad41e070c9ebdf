// Package kubelet is a kubelet for the tests of the chart: what a pod's template says is done, by
// processes of this machine.
//
// It is a node of its own: it registers, renews its Lease, and does nothing that a kubelet's rights
// (system:node:NAME, the node authorizer, NodeRestriction) would not allow. ConfigMaps and Secrets
// are projected into folders and followed, tokens are bound to the pod, readiness is what the probe
// says, the end of a pod is preStop, SIGTERM and the grace period. A pod that is not to be
// restarted ends as its program does. The API server fetches logs from it.
//
// What it cannot do, for want of containers, it does by another way: a path into a mounted volume
// is replaced by that of the folder, in arguments and in ConfigMaps; an address without a host by
// the pod's own, since all pods share the machine's ports; and the API server is named by a
// kubeconfig.
//
// What this package does not do: pull images, apply limits or security
// contexts, run liveness probes, or run more than one container in a pod.
package kubelet
