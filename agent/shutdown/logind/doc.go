// Package logind speaks to systemd-logind of the host over its system bus: it delays a shutdown,
// hears that one begins, and hears who asked for it; and it hears systemd itself begin one that
// logind was not asked for.
//
// Who asks is heard on the bus itself: a monitor gets a copy of each call to logind and of each
// answer, in one order with logind's signals, and the bus knows the process behind each connection,
// from the kernel (SO_PEERCRED). So what is said of a caller comes neither from the caller nor from
// a log that others write to.
//
// Guarantees:
//   - What counts as logind's or systemd's was sent by the connection that has that name: the bus
//     writes the sender into each message. What counts as asked of logind was sent to its manager,
//     by its name or its connection.
//   - Whatever others send ends no connection and leaves no file descriptor behind (package wire).
//     Only the answer to a request for a lock brings one that is kept, by a connection of its own.
//   - Nothing that is asked is waited for longer than callTimeout.
//
// What this package does not do: decide anything, or ask for a shutdown.
package logind
