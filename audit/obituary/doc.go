// Package obituary makes a PodObituary from the last state of a Pod: a pure function.
//
// The API server accepts whatever [Of] returns: every field is within the bounds of the CRD,
// whatever the pod contains, and contains nothing that would control a terminal. A pod whose
// obituary is refused has none.
//
// What this package does not do: find out why the pod left, which is an argument, or who owns its
// owners.
package obituary
