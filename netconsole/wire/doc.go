// Package wire understands what a kernel sends by netconsole: it parses datagrams, puts fragments
// together, recognises a panic, and keeps the last lines. It does no I/O and reads no clock: bytes
// and time are arguments.
//
// Everything that arrives is untrusted. A [Stream] takes the datagrams of one sender; each ends in
// exactly one [Outcome], costs no allocation unless it is kept, and all that is kept is bounded: by
// [MaxMemoryBytes] for all streams that share a [Memory].
//
// In the extended format a [OutcomePanic] cannot be made by user space: what is written to
// /dev/kmsg has a prefix of 8 or more, newlines in kernel messages are escaped, and later fragments
// say that they are. In the plain format anybody who can make the kernel print can forge any line,
// so a panic there is an [OutcomeCandidate] and no more; and where a node sends the plain format,
// what arrives from it can read like the extended one, which [Event].Mixed tells.
//
// What this package does not do: believe. Whether a panic that it recognised is true is decided by
// package netconsole, for which [Order], [Record.Booted] and [Record.Value] are the material.
//
// Sources: Linux Documentation/networking/netconsole.rst, Documentation/ABI/testing/dev-kmsg,
// drivers/net/netconsole.c, kernel/printk/printk.c of 6.1, 6.12 and 7.3.
package wire
