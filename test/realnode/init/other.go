//go:build !linux

// Command init is for Linux only.
package main

func main() { panic("a node's init is a Linux program") }
