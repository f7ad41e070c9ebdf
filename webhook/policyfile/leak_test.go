package policyfile

import (
	"testing"

	"go.uber.org/goleak"
)

// A goroutine that outlives its component is a fault.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
