// Package button listens for the kernel's report that a machine's power button was pressed, by
// ACPI: by a hand, or by the hypervisor of a virtual machine, which cannot be told apart from
// within.
//
// logind learns of it from an input device, and tells nobody. The kernel reports the same thing,
// earlier, to a multicast group of generic netlink (drivers/acpi/event.c), for which no file of the
// host is needed. Buttons other than ACPI's (gpio-keys) are not heard.
//
// Invariant: only what the kernel itself sent counts.
//
// What this package does not do: decide what follows from a press, which is up to logind.
package button
