//go:build !linux

package kernel

import "testing"

func TestKernel(t *testing.T) {
	t.Skip("SKIPPED: Linux is missing: the machines are in a network namespace")
}
