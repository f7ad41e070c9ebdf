// Package wire reads and writes D-Bus messages (the D-Bus specification, "Message Protocol"): of a
// message, the header fields and the few types of arguments that are asked for.
//
// Anybody on the machine may have written what is read here, body and all.
//
// Guarantees:
//   - A message that can be told from the next is never an error. Fields and arguments that cannot
//     be read, or are too large, are not there.
//   - Of a message at most MaxFieldsBytes and MaxBodyBytes are held; what is larger is read past.
//   - File descriptors are no business of this package. Whoever reads from a socket by read(2) gets
//     none: the kernel closes them.
//
// What this package does not do: know the bus or any service, or keep a connection.
package wire
