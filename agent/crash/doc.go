// Package crash reads what kernels have left of their end: the records of pstore, those that
// systemd-pstore has moved, and the logs that kdump took from the memory of a crashed kernel.
//
// What it believes:
//   - A kernel panicked if the first line of a pstore record says so, "Panic#1 Part1". The kernel
//     writes it there when panic() calls pstore, and no log line can imitate it: each begins with
//     its level. An oops, which a machine may survive, has another first line and is no panic.
//   - The cause is the last line that begins with the words of kernel/panic.c at level 0 of the
//     kernel's own facility. What is written to /dev/kmsg has a prefix of 8 or more, in each line
//     of it (devkmsg_write of kernel/printk/printk.c), and after the panic's line user space writes
//     no more.
//   - A kernel crashed if kdump left a log: nothing else starts the crash kernel. The log's lines
//     have no level. So the last one that tells of a crash counts, whoever might have written the
//     earlier ones.
//   - Files and folders must belong to root and not be links: on some distributions anybody may
//     create files in /var/crash.
//
// What this package does not do: determine which boot ended that way (package lastboot).
package crash
