// Package policytest asks the webhook what it would decide in a cluster that consists of objects
// from files, and compares that with what is expected: `epitaph policy test`.
//
// The handler that decides is the webhook's own, and its caches keep of an object what the
// manager's keep. What this package does not do: decide anything itself, or reach an API server.
package policytest
