// Package wire reads and writes D-Bus messages (the D-Bus specification, "Message Protocol"): the
// header fields, and the few types of arguments that are needed.
//
// Anybody on the machine may have written what is read here, body and all.
//
// Guarantees:
//   - A message whose end can be found is never an error. Fields and arguments that are invalid or
//     too large are absent.
//   - At most MaxFieldsBytes and MaxBodyBytes of a message are held; what is larger is skipped.
//   - It handles no file descriptors. Whoever reads from a socket by read(2) gets none: the kernel
//     closes them.
//
// What this package does not do: know the bus or any service, or keep a connection.
package wire
