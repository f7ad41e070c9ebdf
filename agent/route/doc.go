// Package route finds the way from this machine to an address: the device, the source address, and
// the link-layer address of the next hop. It asks the kernel, by netlink, in the network namespace
// in which it runs.
//
// What this package does not do: keep anything. A way is asked for anew whenever it may have
// changed; [Watch] says when that is.
package route
