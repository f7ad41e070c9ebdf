// Package aftermath does what is due after the fact, whichever edges are switched on: it supplies
// reasons, and takes off objects that live on what was written for an end that did not come.
//
// Some kernels cannot say that they panic. Their node's agent finds it out in the next boot, and
// writes it onto the Node as late evidence. By then pods may be on record that left without a
// reason, and others may lie about, failed by the restart. For a while this package looks for both,
// and gives them the reason that they died of.
//
// A Job says how it ended after it has deleted its pods. Until they are gone, their reason is
// completed by that.
//
// What it guarantees:
//   - It never overwrites a reason: only what says no more than that the node was silent or gone,
//     or that nobody said why.
//   - A pod was lost with a boot only if it was there before the panic and its deletion was asked
//     for while the node was down, or a container of it was cut off and the pod failed by that.
//     Pods that the kubelet starts again go on, and nothing is done to them.
//   - Words of somebody else stay on what lives on, and so does evidence that may still explain an
//     end.
//   - It deletes nothing, and every step can be repeated by any replica.
//   - A record says that it was amended: when, and from where.
//
// What this package does not do: find out that a kernel panicked, which is the agent's word. RBAC
// and an admission policy keep each agent to its own node.
package aftermath
