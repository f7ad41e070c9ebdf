// Package netconsolefs is a model of the directory that drivers/net/netconsole.c keeps in configfs,
// as far as programs that write there can tell: which attributes each version of Linux has, what
// they refuse and when, what they report back, and that every refused write to an enabled target is
// a line that the target sends.
//
// It stands in for the kernel where many versions have to be tested in a moment; test/kernel has
// real ones.
package netconsolefs
