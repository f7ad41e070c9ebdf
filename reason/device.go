package reason

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A DeviceTaint drives off the pods that use a device (KEP-5055).
type DeviceTaint struct {
	Driver, Pool, Device string
	Key, Value           string
	// Rule is the DeviceTaintRule with which an administrator taints the device; empty if the
	// device's driver does.
	Rule string
}

// shownDevices is how many devices a sentence names.
const shownDevices = 3

// offItsDevice explains a pod whose device is tainted. A driver taints what is broken. A rule is an
// administrator's, who plans something: maintenance, in the user stories of KEP-5055. The eviction
// controller itself names neither device nor taint (K8s v1.37 pkg/controller/devicetainteviction,
// addConditionAndDeletePod).
func (n inference) offItsDevice(by string) Reason {
	var broken, planned []string
	for _, t := range n.DeviceTaints {
		if t.Rule == "" {
			broken = append(broken, joined(t.device()+" is tainted "+t.taint(), n.healthOf(t.id())))
		} else {
			planned = append(planned, "DeviceTaintRule "+t.Rule+" taints "+t.device()+" "+t.taint())
		}
	}
	switch ill := n.illDevices(); {
	case len(broken) > 0:
		return New(Pod, HardwareFailure, some(append(broken, planned...)), by)
	case len(planned) > 0:
		return New(Pod, Evicted, "maintenance: "+some(planned), by)
	case len(ill) > 0:
		return New(Pod, HardwareFailure, some(ill), by)
	default:
		return New(Pod, HardwareFailure, "device taint", by)
	}
}

func (t DeviceTaint) device() string { return "device " + t.Device + " of " + t.Driver }

func (t DeviceTaint) taint() string {
	if t.Value == "" {
		return t.Key
	}
	return t.Key + "=" + t.Value
}

// id returns the kubelet's name for the device in the pod's status (k8s.io/api/core/v1,
// ResourceID).
func (t DeviceTaint) id() corev1.ResourceID {
	return corev1.ResourceID(t.Driver + "/" + t.Pool + "/" + t.Device)
}

// some joins as many as a sentence has room for.
func some(all []string) string {
	if len(all) > shownDevices {
		return strings.Join(all[:shownDevices], "; ") + " and others"
	}
	return strings.Join(all, "; ")
}

// Ill returns those of a resource's devices that the kubelet calls unhealthy (KEP-4680).
func Ill(all []corev1.ResourceStatus) []corev1.ResourceStatus {
	var ill []corev1.ResourceStatus
	for _, r := range all {
		var devices []corev1.ResourceHealth
		for _, d := range r.Resources {
			if d.Health == corev1.ResourceHealthStatusUnhealthy {
				devices = append(devices, d)
			}
		}
		if len(devices) > 0 {
			ill = append(ill, corev1.ResourceStatus{Name: r.Name, Resources: devices})
		}
	}
	return ill
}

// eachIll calls f for each unhealthy device of the pod, once.
func (n inference) eachIll(f func(resource corev1.ResourceName, d corev1.ResourceHealth)) {
	told := map[corev1.ResourceID]bool{}
	for _, statuses := range [][]corev1.ContainerStatus{n.Pod.Status.InitContainerStatuses,
		n.Pod.Status.ContainerStatuses} {
		for _, s := range statuses {
			for _, r := range Ill(s.AllocatedResourcesStatus) {
				for _, d := range r.Resources {
					if !told[d.ResourceID] {
						told[d.ResourceID] = true
						f(r.Name, d)
					}
				}
			}
		}
	}
}

// illDevices describes the unhealthy devices of the pod.
func (n inference) illDevices() (words []string) {
	n.eachIll(func(resource corev1.ResourceName, d corev1.ResourceHealth) {
		device := "device " + string(d.ResourceID) + " of " + string(resource)
		if parts := strings.Split(string(d.ResourceID), "/"); len(parts) == 3 &&
			strings.HasPrefix(string(resource), "claim:") {
			device = DeviceTaint{Driver: parts[0], Device: parts[2]}.device()
		}
		words = append(words, joined(device+" is unhealthy", message(d)))
	})
	return words
}

// healthOf returns what the kubelet says of a device that it calls unhealthy.
func (n inference) healthOf(id corev1.ResourceID) (said string) {
	n.eachIll(func(_ corev1.ResourceName, d corev1.ResourceHealth) {
		if d.ResourceID == id {
			said = message(d)
		}
	})
	return said
}

func message(d corev1.ResourceHealth) string {
	if d.Message == nil {
		return ""
	}
	return *d.Message
}

// deviceTrouble explains a pod that has to leave its node while a device of its own is unhealthy.
// The kubelet itself does not end a pod for that, and for an orphan it is not known what became of
// the device.
func (n inference) deviceTrouble() (Reason, bool) {
	if n.Remover.Actor == PodGC || n.Remover.Actor == Kubelet {
		return Reason{}, false
	}
	ill := n.illDevices()
	if len(ill) == 0 {
		return Reason{}, false
	}
	return New(Pod, HardwareFailure, some(ill), n.Remover.User), true
}
