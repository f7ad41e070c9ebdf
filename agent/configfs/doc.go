// Package configfs keeps netconsole targets in the configfs of the running kernel
// (drivers/net/netconsole.c).
//
// What it guarantees:
//   - A target that speaks is never changed. Most attributes refuse to be written while it is
//     enabled, and one that is disabled for a moment is silent for that moment; so another target
//     is made beside it, and the old one goes when the new one speaks.
//   - What the kernel does not report back as it was written does not count: the target is taken
//     away again.
//   - Only targets whose name begins with [Prefix] are ever touched.
//
// What this package does not do: find out where a target should lead (packages listeners and
// route).
package configfs
