// Package logind speaks to systemd-logind of the host over its system bus: it delays a shutdown, hears that one begins, and hears
// who asked for it.
//
// Who asks is heard on the bus itself: a monitor gets a copy of each call to logind, in one order with logind's signals, and the
// bus knows the process behind each connection, from the kernel (SO_PEERCRED). So what is said of a caller comes neither from the
// caller nor from a log that others write to.
//
// Invariant: what is heard comes from logind, or was sent to it: the bus compares the sender's name, so nobody can forge a signal.
//
// Non-job: it decides nothing, and asks for no shutdown.
package logind
