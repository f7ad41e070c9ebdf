// Package story tells what happened to a pod or a node in plain words, and answers whether the pod
// may be run again.
//
// [OfPod], [OfNode] and [OfWorkload] turn records ([Facts]) into a [Story]: paragraphs for people,
// and for pods and jobs a [Verdict]. It claims no more than the records hold. That a pod was cut
// off by the platform does not make it safe to repeat what it had half done: only what never ran,
// or what its own author has declared repeatable, is called safe.
//
// What this package does not do: read a cluster, a clock or a terminal. Its callers, the plugin and
// the page, gather the facts and show the story. Everything in a story has passed [reason.Clean].
package story
