// Package binaries finds or builds the programs that the sandbox and the checks run: a real control
// plane, kwok, and the linter, each out of a nested module, so that what they depend on never
// reaches the product's go.mod.
//
// Invariant: a program is only ever seen whole. It is built beside its place and renamed into it,
// under a lock that a second run waits for; its folder's name holds everything that decides its
// content (Go version, go.mod, go.sum, our own sources, the flags), so nothing there is ever
// rebuilt or stale.
//
// What this package does not do: start anything or clean up; old folders in the user's cache
// directory are the user's.
package binaries
