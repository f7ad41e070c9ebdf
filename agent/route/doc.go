// Package route finds the way from this machine to an address: the device, the source address, and
// the link-layer address of the next hop. It asks the kernel, by netlink, in its own network
// namespace.
//
// What this package does not do: cache anything. Callers ask for a way anew whenever it may have
// changed; [Watch] says when that is.
package route
