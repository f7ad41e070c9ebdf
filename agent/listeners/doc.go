// Package listeners finds out who listens to kernels, and chooses those that this kernel sends to.
//
// Kernels know no Services: they put frames on a device, past all rules of iptables, nftables and
// IPVS. So a listener is an address that a frame can be sent to: that of a node on which a pod with
// hostNetwork listens. The endpoints of a headless Service are a list of these.
package listeners
