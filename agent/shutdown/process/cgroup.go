package process

import (
	"regexp"
	"slices"
	"strings"
)

// A place is where a process is in the tree of cgroups: in a pod, in a system service, or below a
// user's own slice, where users may name cgroups as they like.
type place struct {
	pod, unit string
	user      *uint32
}

// placeOf reads the path of a cgroup. In a cgroup namespace of our own it is relative to our
// cgroup: depth is how many steps up the root is, negative if unknown.
func placeOf(cgroup string, depth int) (p place) {
	parts := strings.Split(strings.Trim(cgroup, "/"), "/")
	ups := 0
	for ups < len(parts) && parts[ups] == ".." {
		ups++
	}
	parts = parts[ups:]
	if ups != max(depth, 0) {
		// It is below one of our own ancestors. Only a pod has a namespace, so these are the
		// kubelet's.
		p.pod = podAmong(parts)
		return p
	}
	if len(parts) > 0 && parts[0] == "user.slice" {
		p.user = userOf(parts)
		return p
	}
	p.pod, p.unit = podBelow(parts), unitIn(parts)
	return p
}

// depthOf returns how far below the root we are, from the cgroup of PID 1 as we see it: systemd's
// own is at the root.
func depthOf(init string) int {
	up, ok := strings.CutSuffix(init, "/init.scope")
	if steps := strings.Split(up, "/")[1:]; ok &&
		!slices.ContainsFunc(steps, func(s string) bool { return s != ".." }) {
		return len(steps)
	}
	return -1
}

// userSlice is where systemd-logind puts each user's sessions and services.
var userSlice = regexp.MustCompile(`^user-([0-9]{1,10})\.slice$`)

func userOf(parts []string) *uint32 {
	if len(parts) < 2 {
		return nil
	}
	if m := userSlice.FindStringSubmatch(parts[1]); m != nil {
		return loginOf(m[1])
	}
	return nil
}

// unitIn returns the outermost service: it may itself have created what is in it.
func unitIn(parts []string) string {
	for _, part := range parts {
		if strings.HasSuffix(part, ".service") {
			return part
		}
	}
	return ""
}

const kubepods = "kubepods"

// podBelow finds a pod where the kubelet puts it (kubelet's pkg/kubelet/cm): in kubepods at the
// root, or below its cgroupRoot, such as kind's /kubelet. A kubepods within a service or a
// container is not the kubelet's.
func podBelow(parts []string) string {
	for n, part := range parts {
		bare := strings.TrimSuffix(part, ".slice")
		if bare == kubepods || bare != part && strings.HasSuffix(bare, "-"+kubepods) {
			return podIn(part, parts[n+1:])
		}
		if strings.HasSuffix(part, ".service") || strings.HasSuffix(part, ".scope") {
			return ""
		}
	}
	return ""
}

// qualities are the classes of pods that have a cgroup of their own; guaranteed pods have none.
var qualities = []string{"burstable", "besteffort"}

// podIn returns the pod below kubepods. systemd's driver repeats the parent's name in each slice.
func podIn(parent string, parts []string) string {
	prefix, ending := "", ""
	if bare, ok := strings.CutSuffix(parent, ".slice"); ok {
		prefix, ending = bare+"-", ".slice"
	}
	for _, quality := range qualities {
		if len(parts) > 0 && parts[0] == prefix+quality+ending {
			return podIn(parts[0], parts[1:])
		}
	}
	if len(parts) == 0 || !strings.HasPrefix(parts[0], prefix) ||
		!strings.HasSuffix(parts[0], ending) {
		return ""
	}
	return podNamed(strings.TrimSuffix(parts[0][len(prefix):], ending))
}

// podName matches the kubelet's name for a pod's cgroup: its UID, with underscores for hyphens
// where hyphens have a meaning, or, for a static pod, the hash of its file.
var podName = regexp.MustCompile(
	`^pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})$`)

func podNamed(name string) string {
	if m := podName.FindStringSubmatch(name); m != nil {
		return strings.ReplaceAll(m[1], "_", "-")
	}
	return ""
}

// podPrefix is what systemd's driver puts before a pod's name.
var podPrefix = regexp.MustCompile(`^(?:[^/]*-)?kubepods-(?:burstable-|besteffort-)?`)

// podAmong finds a pod right below, or one step further, where pods of another quality are.
func podAmong(parts []string) string {
	for _, part := range parts[:min(2, len(parts))] {
		if pod := podNamed(podPrefix.ReplaceAllString(strings.TrimSuffix(part, ".slice"),
			"")); pod != "" {
			return pod
		}
	}
	return ""
}
