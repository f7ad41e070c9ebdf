package metadata

import (
	"testing"

	"go.uber.org/goleak"
)

// Tests end what they start: a goroutine that outlives its component is a fault.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
