package obituary

import (
	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/reason/kernel/trace"
)

// TraceOf returns what is read from the lines of a kernel that crashed; nil if that is nothing.
func TraceOf(kernelLog []string) *v1alpha1.PanicTrace {
	t := trace.Of(kernelLog)
	fingerprint := t.Fingerprint()
	if fingerprint == "" && t.Release == "" && t.Hardware == "" {
		return nil
	}
	return &v1alpha1.PanicTrace{Fingerprint: fingerprint, Functions: t.Functions,
		Kernel: t.Release, Hardware: t.Hardware}
}

// PanicOf returns where the kernel of a node crashed. Records of before that was kept have the
// kernel's lines.
func PanicOf(s *v1alpha1.NodeObituarySpec) *v1alpha1.PanicTrace {
	if s.Panic != nil {
		return s.Panic
	}
	return TraceOf(s.KernelLog)
}

// PanicIn returns the last words of a kernel whose console it is, if it ended with a panic; or "".
func PanicIn(console []string) string { return trace.PanicIn(console) }
