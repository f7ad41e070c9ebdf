// Package retention removes records that are too old or too many: the obituaries of pods, with a
// limit for each namespace, those of nodes, and those of what pods belonged to.
//
// It runs in the leading manager, whatever else is switched on: the writer of records may be
// switched off while there still are some.
//
// What it guarantees:
//   - A record is old only if it is so by our clock and by the API server's, and one look removes a
//     bounded share of the old ones. So a clock that jumps ahead removes nothing, and if both jump,
//     there is time to notice.
//   - The obituary of a node by which the collector's brake holds pods is never removed for being
//     one too many.
//   - Where there is an archive, it runs there as well, and removes only what is stored: it names
//     the revision of that, too. The manager's then has wider limits, and says what it removes.
//   - Each delete names the UID, so every step can be repeated by any replica.
//
// What this package does not do: remove the record of a node or an owner that lives on
// ([audit.Retractor], [audit.OwnerObituaries]).
package retention
