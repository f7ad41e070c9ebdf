// Package vm runs a node in a machine of its own, by emulation: a distribution under systemd, with
// containerd and the kubelet, on a kernel that can die. It needs root, Debian or Ubuntu, and a
// network namespace whose address 10.96.0.1 is the API server's (package realnode).
//
// The machine has two disks. One is the distribution, made once. The other has the kubelet and
// containerd's folder with all images unpacked, made for each run: unpacking them in an emulated
// machine would take several times as long.
//
// What the machine writes ends with it; it survives a reset.
//
// What this package does not do: install anything of Epitaph.
package vm
