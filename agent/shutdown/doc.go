// Package shutdown has a node say who switched it off: while systemd-logind waits, the evidence is
// written onto the Node.
//
// Where a shutdown comes from is told by the first of these that knows:
//   - whose call logind grants, as the bus knows (package logind), and the process behind the call
//     (process);
//   - the power button, which the kernel tells of (button);
//   - who had scheduled a shutdown that is due;
//   - who called logind and wanted no answer;
//   - the one process that runs halt, reboot … at that moment, where logind was asked by another
//     way than the bus, or not at all.
//
// Guarantees:
//   - The delay lock is given back as soon as the evidence is written, half a second before
//     logind's patience ends, and when the configured time is over. Nothing that others do or leave
//     undone prolongs that: neither the API server, the bus nor a process.
//   - What has begun to be written is written also if the agent is ended meanwhile.
//   - What is not known is left empty, and where two could have been it, neither is named. Nobody
//     can have another named, or keep root from being.
//   - A shutdown that is called off, or that the machine has survived within the same boot, leaves
//     no evidence.
//
// What this package does not do: see what systemd is not asked for in good order
// (halt -f, a machine that is cut off), or refuse a shutdown.
package shutdown
