// Package resetreason reads what a machine itself knows about the end of its previous boot: its
// watchdogs, the firmware's boot error record (ACPI's BERT), and the lines in which the kernel
// repeats both, or AMD's reset status.
//
// What is read is the firmware's and the hardware's word, and not proven: firmware may keep a
// record for several boots, and a watchdog its flag. Every size is bounded, and no text of a record
// is passed on.
//
// What this package does not do: decide whether the boot ended in good order.
package resetreason
