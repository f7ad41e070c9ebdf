// Package crash reads what kernels have left of their end: the records of pstore, those that
// systemd-pstore has moved, and the logs that kdump took out of the memory of a kernel that had
// crashed.
//
// What it believes:
//   - That a kernel panicked, a record of pstore says with its first line, "Panic#1 Part1", which
//     the kernel writes there when panic() calls it and which no log holds: each line of a log
//     begins with its level. An oops, which a machine may survive, has another first line and is no
//     panic.
//   - What it panicked of, the last line says that begins with the words of kernel/panic.c at level
//     0 of the kernel's own facility. What is written to /dev/kmsg has a prefix of 8 or more, in
//     each line of it (devkmsg_write of kernel/printk/printk.c), and after the panic's line user
//     space writes no more.
//   - That a kernel crashed, the log that kdump took says by being there: the kernel for the crash
//     is started by nothing else. Its lines have no level; so the last one that tells of a crash
//     counts, whoever might have written the earlier ones.
//   - Files and folders are root's, and no links: on some distributions anybody may make files in
//     /var/crash.
//
// What this package does not do: tell which boot it was that ended so (package lastboot).
package crash
