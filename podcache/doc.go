// Package podcache keeps the pods of a large cluster in little memory: a controller-runtime cache
// that is built with NewInformer holds a record of some hundred bytes for each Pod, and turns it
// into a *corev1.Pod for readers and event handlers.
//
// That Pod has its identity, the labels, annotations and conditions that Epitaph reads, its node
// or, while it waits for one, what it requires of one, its owners, and how it ends; nothing else.
// Every reader gets its own copy, which it may change. Nodes and NodeObituaries are kept without
// the parts that Epitaph does not read.
//
// What this package does not do: decide which kinds are cached, how they are indexed and when they
// are resynced. controller-runtime does that.
package podcache
