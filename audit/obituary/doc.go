// Package obituary makes a PodObituary of the last state of a Pod: a pure function.
//
// Whatever [Of] returns, the API server accepts: every field is within the bounds of the CRD,
// whoever wrote what is in the pod and however long it is, and nothing in it would be obeyed by a
// terminal. An obituary that is refused would be a pod without one.
//
// What this package does not do: find out why the pod left, which is an argument, or to whom its
// owners belong.
package obituary
