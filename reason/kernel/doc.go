// Package kernel reads from the lines of a kernel's log what is wrong with its machine.
//
// The meaning of lines is data: rules.yaml, each rule with its source. A rule is anchored at the
// beginning of the line, where drivers and devices stand and no text that a program chooses. It is
// tried only on lines that have one of its texts where a message begins, so nearly all lines cost a
// look at a few bytes.
//
// What this package does not do: determine whether a line is the kernel's own (package wire does),
// or whose evidence weighs more (package reason).
package kernel
