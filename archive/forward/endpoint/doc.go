// Package endpoint sends requests to a receiver by HTTP, and says of each that fails what is to be
// done about it.
//
// Where a receiver is, and what it wants to see, lies in files, as Kubernetes mounts a Secret. They
// are read anew for each request, so that a token can be replaced at any time. What they hold is
// never part of an error: nor is it if the receiver sends it back.
//
// What this package does not do: try again, or know what is sent.
package endpoint
