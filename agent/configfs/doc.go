// Package configfs maintains netconsole targets in the configfs of the running kernel
// (drivers/net/netconsole.c).
//
// What it guarantees:
//   - An enabled target is never changed, except for its userdata. The kernel refuses writes to
//     most attributes of an enabled target, and a target that is disabled for a moment sends
//     nothing in that moment. So a replacement is created beside it, and the old one is removed
//     when the new one is enabled.
//   - A target that the kernel does not report back as it was written is removed again.
//   - Only targets whose name begins with [Prefix] are ever touched.
//
// What this package does not do: find out where a target should lead (packages listeners and
// route).
package configfs
