// Package process finds out, from the kernel's /proc, who is behind a process that asks for a
// shutdown: the command, the user who logged in, the pod or the unit.
//
// A user cannot shake off the login UID: the kernel hands it down from the login to every child,
// through sudo and su, and only CAP_AUDIT_CONTROL may set it again (kernel/audit.c,
// audit_set_loginuid).
//
// Invariant: everything that is read is bounded, and what cannot be known is left empty.
//
// What this package does not do: name users; a UID is a number here.
package process
