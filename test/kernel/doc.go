// Package kernel proves the netconsole listener on a kernel as Debian ships it: in QEMU, as a Node
// of the real control plane. docs/kernels.md says what was proven.
package kernel
