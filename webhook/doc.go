// Package webhook is the admission edge: it sees every DELETE of a Pod or a Node that the API
// server asks it about, sees to it that the object leaves with a reason, and denies what policy
// says must not leave without one.
//
// A reason cannot be put into the response: on DELETE there is no object to patch. It is written by
// a PATCH of the live object (package termination): of a pod that goes on terminating when it is
// seen to do so ([PromisedReasons]), of whatever vanishes at once from inside the admission call,
// which the API server notices and reads again. So what this package returns is only ever allowed
// or denied, with words for people.
//
// A request passes through [Handler] in four steps: decode, decide (policy and inference: no I/O
// but cached reads), write or promise, answer. The same request may come two to four times, with an
// object that may be stale: the same facts lead to the same words. A fault of our own never becomes
// a denial: it allows with a warning, or fails the call with an HTTP status, as the failure policy
// says.
package webhook
