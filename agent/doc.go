// Package agent runs on each node and sees to it that its kernel can be heard when it dies: it
// gives the kernel targets for netconsole, and keeps them right.
//
// One pass does everything: who listens (package listeners), which way leads there (route), what
// the kernel has (configfs), and what of that has to change. Passes come at once when listeners or
// the network change, and every now and then in any case.
//
// What it guarantees:
//   - Once the kernel speaks to somebody, it is silent only when nobody can be reached: a target
//     goes after the one that replaces it speaks, the agent's end changes nothing, and while the
//     API server does not answer, or lists no listener at all, those that were known are followed.
//   - The secret that the kernel sends is told to the API, as a hash, before the kernel sends it.
//   - Whatever is wrong is a fault with a code and a remedy: in the log when it comes or goes, as a
//     metric, and on the Node.
//
// What this package does not do: touch netconsole targets that are not its own, or anything of the
// Node but its report and its token.
package agent
