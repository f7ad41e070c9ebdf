// Package aftermath does what is due after the fact, whichever edges are enabled: it adds reasons
// that became known late, and removes from objects that live on what was written for an end that
// did not come.
//
// Some kernels cannot report that they panic. Their node's agent finds that out in the next boot,
// and writes it onto the Node as late evidence. By then the records may have pods that left without
// a reason, and there may be pods that the restart has failed. For a while this package looks for
// both, and gives them their reason.
//
// A Job says how it ended only after it has deleted its pods. Until they are gone, this package
// completes their reason with that.
//
// What it guarantees:
//   - It overwrites no reason, only one that says no more than that the node was silent or gone, or
//     that nobody said why.
//   - A pod was lost with a boot only if it was there before the panic and its deletion was asked
//     for while the node was down, or a container of it was cut off and the pod failed by that.
//     Pods that the kubelet starts again are left alone.
//   - What others wrote on an object that lives on stays, and so does evidence that may still
//     explain an end.
//   - It deletes nothing, and every step can be repeated by any replica.
//   - An amended record says so: when, and from which source.
//
// What this package does not do: find out whether a kernel panicked. The agent says so; RBAC and an
// admission policy confine each agent to its own node.
package aftermath
