//go:build !linux

package kernel

import "testing"

func TestKernel(t *testing.T) {
	t.Skip("it misses Linux: the machines are in a network namespace")
}
