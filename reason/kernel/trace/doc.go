// Package trace reads from the last lines of a kernel where it crashed, so that crashes of many
// machines can be told apart and counted.
//
// The functions of a trace are those of its certain frames, the innermost first, without addresses,
// offsets, modules and the suffixes of the compiler. What says how the kernel came to report and
// not what went wrong is left out: left_out.yaml. docs/audit.md has the definition.
//
// What this package does not do: determine whether a line is the kernel's own, or resolve
// addresses.
package trace
