// Package gc ends the pods that nothing on a node can end any more, and gives every one of them a
// reason first.
//
// It does what kube-controller-manager's pod garbage collector does (k8s.io/kubernetes v1.37
// pkg/controller/podgc), for the same causes ([Cause]), with these differences:
//   - It is driven by events, and works in parallel; one turn goes to each node, so that no node
//     waits for another.
//   - A node that left with a reason is gone for good: its pods go at once, with that reason. A
//     node that left without one may come back: its pods wait out the quarantine.
//   - Pods that are terminating without a reason get one while they are still there.
//   - When an implausible share of the nodes is gone unexplained, the pods of those nodes are held.
//
// Nothing is deleted unless a live GET says that the Node is not there. Like the built-in collector
// it compares names: where a Node of that name lives, its pods are left alone, whatever its UID. A
// kubelet that registers anew, as after the deletion of its Node by mistake, keeps its pods
// running, and a pod does not say under which of the two it was bound.
//
// All state that matters is in the API server: the reason on the Node until the Node goes, then its
// NodeObituary, then the reason on each pod. Whoever dies between two writes leaves work that the
// next leader finds by looking at the pods.
//
// What this package does not do: decide whether a node is dead (a Node object that is there is
// alive), or delete Nodes.
package gc
