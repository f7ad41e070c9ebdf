// Package forward sends what is archived to other systems: each record that a receiver asks for at
// least once, in the order in which it was stored, and again when it was amended.
//
// How far a receiver has got is kept in the store, and moves on once the receiver has confirmed.
// Whatever dies, the rest is sent from there: what was on its way comes twice, under the same ID
// ([ID]). A receiver that is away for a day loses nothing, since the store is the queue, and holds
// up nobody: each has a goroutine and a position of its own. Only what a receiver refuses for what
// is in it is left out, after some tries, counted and named: it would hold up the rest for ever.
//
// What this package does not do: know any format. Those are the packages below it.
package forward
