// Package lastboot finds out how the boot before this one ended.
//
// It keeps a small file on the host: which boot it is in, since when, and which dumps it has seen.
// In the next boot that file tells of the one before. A unit of systemd, if there is one
// (docs/agent.md), notes in the same folder that a boot ended in good order.
//
// A dump is that boot's end if
//   - it was not there while that boot ran;
//   - the kernel had run for longer, by its own account, than until the agent saw that boot: in a
//     boot that lives so long, the agent runs;
//   - it then ended before this boot began, and at the time that the dump has, where it has one.
//
// Everything else is somebody else's end, and nothing is said of it: after the first start there is
// no boot before, a dump that is older than the file explains nothing, and what cannot be known is
// [Unknown].
//
// What this package does not do: talk to the API, or remove a dump that was not told (it removes
// none unless told to).
package lastboot
