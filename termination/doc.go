// Package termination writes reasons onto Pods and Nodes and terminates them. It is the only
// package of Epitaph that changes or deletes a Pod or a Node; every other package gets a
// [Terminator] and a reader.
//
// What it guarantees:
//   - Every write names the UID of the object it is meant for. For an object that is gone, or was
//     replaced by another of the same name, the error is [ErrGone], which most callers take as
//     success.
//   - A pod that the write itself would delete is not written: [ErrVanishing].
//   - A pod is failed with annotations, phase and condition in one PATCH, so nobody ever sees it
//     Failed without its reason; with the DELETE that is two writes per pod.
//
// Every step can be repeated: if a replica dies between two of them, any other can go on.
package termination
