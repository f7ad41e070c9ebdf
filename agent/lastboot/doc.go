// Package lastboot finds out how the boot before this one ended.
//
// It keeps a small file on the host: which boot it is in, since when, and which dumps it has seen.
// In the next boot that file describes the one before. A systemd unit, if there is one
// (docs/agent.md), notes in the same folder that a boot ended in an orderly way.
//
// A dump is that boot's end if
//   - it was not there while that boot ran;
//   - by its own account, the kernel had run for longer than that boot had when the agent first saw
//     it: in a boot that lives so long, the agent runs;
//   - it then ended before this boot began, and at the dump's own time, if it has one.
//
// Any other dump is the end of some other boot, and nothing is concluded from it: after the first
// start there is no boot before, a dump that is older than the file explains nothing, and what
// cannot be known is [Unknown].
//
// What this package does not do: talk to the API, or remove a dump that was not reported (it
// removes none unless told to).
package lastboot
