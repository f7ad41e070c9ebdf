// Package metadata hears on the node itself that the cloud is about to take the machine away, and
// writes that onto the Node as evidence: from the metadata service of Amazon EC2, Google Compute
// Engine or Azure, which answers at a link-local address and wants no credentials.
//
// What it guarantees:
//   - A notice is on the Node within a period of its announcement, with the time up to which the
//     node may go because of it. One that is weeks away is written only when its time has come.
//   - A notice that the service clearly says no more, or that is past, is taken off again. A
//     service that does not answer withdraws nothing.
//   - It asks nobody but the address it was given: no proxy, no redirect, no name server unless the
//     address is a name. Answers are bounded, and texts in them are made harmless.
//   - It touches no evidence but its own of this boot.
//
// What this package does not do: drain the node, or find out afterwards why an instance is gone.
package metadata
