// Package debian gets what Debian and Ubuntu package: QEMU, and a Linux kernel with its modules, as they ship it.
//
// Invariant: a kernel in the cache is whole. It is unpacked beside its place and renamed into it, in a folder named after its
// packages and their versions, and never changed.
//
// Non-job: it starts nothing, and installs no kernel on the machine that it runs on.
package debian
