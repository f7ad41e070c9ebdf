// Package gc terminates the pods that no kubelet can terminate any more, and gives each of them a
// reason first.
//
// It does what kube-controller-manager's pod garbage collector does (k8s.io/kubernetes v1.37
// pkg/controller/podgc), for the same causes ([Cause]), with these differences:
//   - It is driven by events and works in parallel, on one pod of each node in turn, so that no
//     node waits for another's pods.
//   - A node that left with a reason is gone for good: its pods are terminated at once, with that
//     reason. A node that left without one may come back: its pods wait out the quarantine.
//   - Pods that are terminating without a reason get one while they still exist.
//   - When an implausible share of the nodes is gone unexplained, the pods of those nodes are held.
//
// No orphaned pod is deleted unless a live GET says that its Node does not exist. Like the built-in
// collector, this one compares names: it leaves the pods alone if there is a Node of that name,
// whatever its UID. A kubelet that registers anew, for instance after its Node was deleted by
// mistake, keeps its pods running, and a pod does not say to which of the two Nodes it was bound.
//
// All state that matters is in the API server: the reason on the Node until the Node is deleted,
// then its NodeObituary, then the reason on each pod. If a leader dies between two writes, the next
// one finds the remaining work by looking at the pods.
//
// What this package does not do: decide whether a node is dead (a Node that exists counts as
// alive), or delete Nodes.
package gc
