// Package netconsole hears the last lines of a dying kernel and removes its node.
//
// A datagram that is believed deletes a Node, so nothing is believed for its words alone. It passes
// through:
//
//	address   whose is it: the node that the API says has this address; any other is dropped
//	          before it costs memory
//	wire      what does it say: package wire finds a panic in the strict format, or nothing
//	trial     is it true: user space must fall silent, the brake must allow one more death,
//	          the boot must still be the same
//	removal   the ordered steps: intent on the Node, its pods, the obituary, the Node
//
// What it guarantees:
//   - A node whose user space answers, or that has booted since, is not touched.
//   - The intent on the Node comes before anything else is changed. A replica that dies between two
//     steps leaves work that any other takes up, after having proven the death anew.
//   - Every datagram ends in exactly one counted outcome, and every panic in exactly one counted
//     verdict.
//   - A fault of its own, a panic of Go, costs a datagram or a while, never the process (package
//     guard).
//
// What this package does not do: find out about nodes that die without a word, or collect the pods
// that are bound to a node after its removal has begun (package gc does).
package netconsole
