// Package ask asks the archive of a cluster by HTTPS, in the name of whoever wants to know.
//
// Where the archive is stands in a ConfigMap that every authenticated user may read. What comes
// back is bounded, and an answer that is none is an error.
//
// What this package does not do: decide who may know what. The archive does.
package ask
