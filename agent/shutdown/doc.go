// Package shutdown has a node say who switched it off: while systemd-logind waits, the evidence is written onto the Node.
//
// Where a shutdown comes from is told by the first of these that knows:
//   - who called logind, as the bus knows (package logind), and the process behind the call (process);
//   - the power button, which the kernel tells of (button);
//   - who had scheduled a shutdown that is due;
//   - the one process that runs halt, reboot … at that moment, where logind was asked by another way than the bus.
//
// Guarantees:
//   - The delay lock is given back as soon as the evidence is written, and half a second before logind's patience ends in any case.
//   - What is not known is left empty, and where two could have been it, neither is named.
//   - A shutdown that is called off, or that the machine has survived within the same boot, leaves no evidence.
//
// Non-job: what goes past logind (halt -f, systemctl start halt.target, a machine that is cut off) is not seen, and no shutdown is refused.
package shutdown
