// Package button hears the kernel say that a machine's power button was pressed, by ACPI: a hand,
// or the hypervisor of a virtual machine, which cannot be told apart from within.
//
// logind hears of it from an input device, and tells nobody. The kernel says the same thing,
// before, to a multicast group of generic netlink (drivers/acpi/event.c), for which no file of the
// host is needed. Buttons that are not ACPI's (gpio-keys) are not heard.
//
// Invariant: only what the kernel itself sent counts.
//
// What this package does not do: decide what follows from a press: that is logind's business.
package button
