// Package termination writes reasons onto Pods and Nodes and carries terminations out. It is the
// only place of Epitaph that changes or deletes a Pod or a Node; every other package gets a
// [Terminator] and a reader.
//
// What it guarantees:
//   - Every write names the UID of the object it is meant for. An object that is gone, or was
//     replaced by another of the same name, is [ErrGone]: to most callers that is success.
//   - A pod that the write itself would delete is left alone: [ErrVanishing].
//   - A pod is failed with annotations, phase and condition in one PATCH, so nobody ever sees it
//     Failed without its reason; with the DELETE that is two writes a pod.
//
// Every step can be repeated: whoever dies between two of them leaves work that any replica can
// take up again.
package termination
