// Package records reads what Azure has on record of a machine's health: the annotations of Resource
// Graph, whose meanings are data (annotations.yaml), each with its source.
//
// Invariant: it is a function of values, whatever they are, and knows no SDK.
//
// What this package does not do: ask, or decide what an end means for a Node's reason.
package records
