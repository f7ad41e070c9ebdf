package page

import (
	"testing"

	"go.uber.org/goleak"
)

// What the tests start, they also end: a goroutine that outlives its component is a fault.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
