// Package debian gets what Debian and Ubuntu package: QEMU, and a Linux kernel with its modules, as
// they ship it.
//
// Invariant: a kernel in the cache is whole. It is unpacked beside its place and renamed into it,
// in a folder named after its packages and their versions, and never changed.
//
// What this package does not do: start anything, or install a kernel on the machine it runs on.
package debian
