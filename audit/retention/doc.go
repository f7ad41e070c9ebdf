// Package retention removes the records that are too old or too many: the obituaries of pods, of
// which each namespace has a number of its own, and those of nodes.
//
// It runs in the manager that leads, whatever else is switched on: who writes records may be
// switched off while there are some.
//
// What it guarantees:
//   - What is old is old by our clock and by the API server's, and one look removes a bounded share
//     of it: a clock that jumps ahead removes nothing, and one that takes the other along leaves
//     time to notice.
//   - The obituary of a node by which the collector's brake holds pods does not go by number.
//   - Each delete names the UID, so every step can be repeated by any replica.
//
// What this package does not do: take back what is recorded of a node that lives on
// ([audit.Retractor]).
package retention
