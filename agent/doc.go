// Package agent runs on each node and ensures that its kernel can be heard when it dies: it creates
// netconsole targets in the kernel and maintains them.
//
// One pass does everything: who listens (package listeners), which way leads there (route), what
// the kernel has (configfs), and what of that has to change. A pass starts at once when listeners
// or the network change, and periodically in any case.
//
// What it guarantees:
//   - Once the kernel sends to a listener, it stops only when no listener can be reached: a target
//     is removed after its replacement is enabled, the agent's end changes nothing, and while the
//     API server does not answer, or lists no listener at all, the known listeners are kept.
//   - The API has the hash of the secret before the kernel sends the secret.
//   - Every problem is a fault with a code and a remedy: in the log when it comes or goes, as a
//     metric, and on the Node.
//
// What this package does not do: touch netconsole targets that are not its own, or anything of the
// Node but its report, its token and its evidence.
package agent
