// Package forgeries makes panics that nobody's kernel has announced: out of recordings, with what a
// forger may change or guess. The one thing that it does not know is the token of a node's boot.
package forgeries
