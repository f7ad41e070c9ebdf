package obituary

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
)

// maxHeld bounds how long a pod can have been there: clocks are wrong.
const maxHeld = 10 * 365 * 24 * time.Hour

// Held returns for how long a pod held what it requests: from when the kubelet took it on until its
// last container had ended, or, where nobody saw that, until it was gone. It is 0 for a pod that no
// kubelet took on, and not known where the record does not say.
func Held(s *v1alpha1.PodObituarySpec) (held time.Duration, known bool) {
	from := s.Began
	if from == nil {
		// Of before the record had it: the first container that is known to have started.
		for n := range s.Containers {
			if started := s.Containers[n].Started; started != nil &&
				(from == nil || started.Before(from)) {
				from = started
			}
		}
	}
	if from == nil {
		return 0, s.NodeName == "" || s.RefusedAtOnce
	}
	held = endOf(s).Sub(from.Time)
	return min(max(held, 0), maxHeld), true
}

// endOf returns when the last container ended, or the pod was gone.
func endOf(s *v1alpha1.PodObituarySpec) time.Time {
	var last *metav1.Time
	for n := range s.Containers {
		c := &s.Containers[n]
		if c.State == v1alpha1.Running || c.Finished == nil && c.State == v1alpha1.Exited {
			return s.Removed.Time
		}
		if c.Finished != nil && (last == nil || last.Before(c.Finished)) {
			last = c.Finished
		}
	}
	if last == nil || s.ContainersOmitted > 0 || last.After(s.Removed.Time) {
		return s.Removed.Time
	}
	return last.Time
}

// maxGPUs bounds how many a pod can have had: what it asked for is its own word.
const maxGPUs = 1024

// GPUs returns how many whole GPUs a pod had requested: resources whose name ends in /gpu, such as
// nvidia.com/gpu and amd.com/gpu, and those of gpu.intel.com. Slices of one, and devices that were
// claimed (DRA), are not counted.
func GPUs(s *v1alpha1.PodObituarySpec) int64 {
	var all int64
	for name, amount := range s.Requests {
		if !strings.HasSuffix(name, "/gpu") && name != "gpu.intel.com/i915" &&
			name != "gpu.intel.com/xe" {
			continue
		}
		if quantity, err := resource.ParseQuantity(string(amount)); err == nil {
			all += min(max(quantity.Value(), 0), maxGPUs)
		}
	}
	return min(all, maxGPUs)
}
