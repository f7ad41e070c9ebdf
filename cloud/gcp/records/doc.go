// Package records reads what Compute Engine has on record of an instance's end: its operations,
// whose types and users are data (operations.yaml, users.yaml), each with its source.
//
// Invariant: it is a function of values, whatever they are, and knows no SDK.
//
// What this package does not do: ask, or decide what an end means for a Node's reason.
package records
