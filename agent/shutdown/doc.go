// Package shutdown makes a node say who switched it off: while systemd-logind waits, it writes the
// evidence onto the Node.
//
// The cause of a shutdown is the first of these that is known:
//   - whose call logind grants, according to the bus (package logind), and the process behind the
//     call (process);
//   - the power button, which the kernel reports (button);
//   - who had scheduled a shutdown that is due;
//   - who called logind and wanted no answer;
//   - the one process that runs halt, reboot … at that moment, if logind was not asked by the bus,
//     or not at all.
//
// Guarantees:
//   - The delay lock is released as soon as the evidence is written, half a second before logind's
//     patience ends, or when the configured time is over, whichever comes first. Neither the API
//     server, the bus nor a process can prolong that.
//   - A write that has begun is completed even if the agent is terminated meanwhile.
//   - What is not known is left empty, and if it may have been either of two people, neither is
//     named. Nobody can cause somebody else to be named, or keep root from being named.
//   - A shutdown that is called off, or that the machine has survived within the same boot, leaves
//     no evidence.
//
// What this package does not do: see an end that systemd does not control (halt -f, a machine that
// is cut off), or refuse a shutdown.
package shutdown
