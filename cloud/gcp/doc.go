// Package gcp asks Compute Engine why an instance is gone, with rights that only read.
//
// It asks one thing: the operations of the instance's zone that are about it, of the day before its
// Node left. What ended the instance is the first end after it last began to run: the group that
// deletes an instance whose host has failed did not end it. Operations are matched by the
// instance's number, since a group gives an instance that replaces another one the same name.
//
// What the types of operations mean is data: operations.yaml; whose calls are a group's:
// users.yaml, each with its source.
//
// What this package does not do: decide what the answer means for a Node's reason, or when to ask
// again.
package gcp
