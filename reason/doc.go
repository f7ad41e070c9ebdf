// Package reason defines what a termination reason is and how evidence becomes one.
//
// A [Reason] is a [Code] from a fixed vocabulary, a [Text] that a person can read, and the name of
// whoever terminated the object. It is stored in three annotations of a Pod or a Node ([Keys]).
// [Inferrer.Infer] turns what is known at the moment of a deletion ([Facts]) into a Reason, or
// reports that nothing is known: it is a pure function of its arguments and reads neither a clock
// nor a cluster.
//
// Everything that comes from outside (user names, kernel text, condition messages) passes [Clean]
// before it becomes part of a sentence: no control characters, no more than [MaxTextBytes].
//
// What this package does not do: decide whether a deletion without a reason is allowed (that is
// policy, in package webhook), or write anything (that is package termination).
package reason
