// Package wire decodes what a kernel sends by netconsole: it parses datagrams, reassembles
// fragments, recognises a panic, and keeps the last lines. It does no I/O and reads no clock: bytes
// and time are arguments.
//
// Everything that arrives is untrusted. A [Stream] takes the datagrams of one sender. Each ends in
// exactly one [Outcome] and costs no allocation unless it is kept. All that is kept is bounded: by
// [MaxMemoryBytes] for all streams that share a [Memory].
//
// In the extended format, user space cannot produce an [OutcomePanic]: what it writes to /dev/kmsg
// has a prefix of 8 or more, newlines in kernel messages are escaped, and later fragments are
// marked as such. In the plain format anybody who can make the kernel print can forge any line, so
// a panic there is only an [OutcomeCandidate]. If a node sends the plain format, its datagrams can
// read like extended ones; [Event].Mixed says so.
//
// What this package does not do: decide whether a panic that it recognised is true. Package
// netconsole does, from [Order], [Record.Booted] and [Record.Value].
//
// Sources: Linux Documentation/networking/netconsole.rst, Documentation/ABI/testing/dev-kmsg,
// drivers/net/netconsole.c, kernel/printk/printk.c of 6.1, 6.12 and 7.3.
package wire
