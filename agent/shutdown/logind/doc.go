// Package logind talks to the host's systemd-logind over the system bus: it delays a shutdown, and
// hears that one begins and who asked for it. It also hears systemd itself begin one that logind
// was not asked for.
//
// It learns who asks from the bus itself: a monitor gets a copy of each call to logind and of each
// answer, in order with logind's signals, and the bus knows the process behind each connection from
// the kernel (SO_PEERCRED). So what is known of a caller comes neither from the caller nor from a
// log that others write to.
//
// Guarantees:
//   - A message counts as logind's or systemd's only if the connection that has that name sent it:
//     the bus writes the sender into each message. It counts as asked of logind only if it was sent
//     to logind's manager, by its name or its connection.
//   - Whatever others send ends no connection and leaves no file descriptor behind (package wire).
//     Only the answer to a request for a lock brings one that is kept, by a connection of its own.
//   - No call is waited for longer than callTimeout.
//
// What this package does not do: decide anything, or ask for a shutdown.
package logind
