// Package records reads what AWS has on record of an instance's end: the events of CloudTrail, and
// the end of its console. Both come from whoever called the API or ran on the instance.
//
// Invariant: it is a function of bytes, whatever they are, and knows no SDK.
//
// What this package does not do: ask, or decide what an end means.
package records
