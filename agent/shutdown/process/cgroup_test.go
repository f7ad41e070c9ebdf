package process

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlaceOf(t *testing.T) {
	t.Parallel()
	const uid, slice = "0a1b2c3d-0000-4000-8000-00000000beef",
		"pod0a1b2c3d_0000_4000_8000_00000000beef.slice"
	pod := place{pod: uid}
	tests := map[string]struct {
		cgroup string
		depth  int
		want   place
	}{
		"cgroupfs, a guaranteed pod": {"/kubepods/pod" + uid + "/4f2c", 0, pod},
		"cgroupfs, best effort":      {"/kubepods/besteffort/pod" + uid + "/4f2c", 0, pod},
		"systemd, a guaranteed pod": {"/kubepods.slice/kubepods-" + slice +
			"/cri-containerd-4f2c.scope", 0, pod},
		"systemd, burstable": {
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-" + slice +
				"/crio-4f2c.scope", 0, pod},
		"a static pod": {
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0123456789abcdef0123456789abcdef.slice/x.scope", 0, place{pod: "0123456789abcdef0123456789abcdef"}},
		"kind, cgroupfs": {"/kubelet/kubepods/burstable/pod" + uid + "/4f2c", 0,
			pod},
		"kind, systemd": {
			"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-" + slice + "/x.scope", 0, pod},
		"another slice for the kubelet": {"/a.slice/a-b.slice/a-b-kubepods.slice/a-b-kubepods-" +
			slice, 0, pod},
		"seen from a pod": {"/../../kubepods-burstable-" + slice +
			"/cri-containerd-4f2c.scope", 4, pod},
		"seen from one of other quality": {
			"/../../../kubepods-burstable.slice/kubepods-burstable-" + slice + "/x.scope", 4, pod},
		"seen from a pod, cgroupfs": {"/../../pod" + uid + "/4f2c", 4, pod},
		"seen from a pod of kind": {"/../../kubelet-kubepods-besteffort-" + slice +
			"/x.scope", 5, pod},
		"a pod's own cgroups": {"/kubepods/pod" + uid +
			"/4f2c/kubepods/poddeadbeef-0000-4000-8000-00000000dead", 0, pod},
		"a service": {"/system.slice/ci.service", 0,
			place{unit: "ci.service"}},
		"a service, seen from a pod": {"/../../../../system.slice/ci.service", 4,
			place{unit: "ci.service"}},
		"what a service calls its own": {"/system.slice/ci.service/apt-daily-upgrade.service", 0,
			place{unit: "ci.service"}},
		"a session": {"/user.slice/user-1000.slice/session-3.scope", 0,
			place{user: id(1000)}},
		"a session, seen from a pod": {
			"/../../../../user.slice/user-1000.slice/session-3.scope", 4, place{user: id(1000)}},
		"the root":         {"/", 0, place{}},
		"above everything": {"/..", 1, place{}},
		"nothing":          {"", 0, place{}},

		"a user's own kubepods": {
			"/user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-" + slice +
				"/x.scope", 0, place{user: id(1000)},
		},
		"a user's own kubepods, seen from a pod": {
			"/../../../../user.slice/user-1000.slice/user@1000.service/kubepods.slice/kubepods-" +
				slice, 4, place{user: id(1000)},
		},
		"a user's own service": {
			"/user.slice/user-1000.slice/user@1000.service/app.slice/apt-daily-upgrade.service", 0,
			place{user: id(1000)}},
		"a service's own kubepods": {"/system.slice/ci.service/kubepods/pod" + uid, 0,
			place{unit: "ci.service"}},
		"a container's own kubelet": {
			"/system.slice/docker-4f2c.scope/kubelet/kubepods/pod" + uid, 0, place{}},
		"a slice that is only called a pod": {"/kubepods-" + slice + "/x.scope", 0, place{}},
		"names that do not fit together":    {"/kubepods.slice/other-" + slice, 0, place{}},
		"a user whose number is none": {"/user.slice/user-4294967295.slice/session-3.scope",
			0, place{}},
	}
	for name, tc := range tests {
		if diff := cmp.Diff(tc.want, placeOf(tc.cgroup, tc.depth),
			cmp.AllowUnexported(place{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDepthOf(t *testing.T) {
	t.Parallel()
	for init, want := range map[string]int{"/init.scope": 0, "/../../../../init.scope": 4, "/": -1,
		"": -1, "/system.slice/init.scope": -1} {
		if got := depthOf(init); got != want {
			t.Errorf("%q: %d, want %d", init, got, want)
		}
	}
}

func FuzzPlaceOf(f *testing.F) {
	f.Add("/../../kubepods-pod0a1b2c3d_0000_4000_8000_00000000beef.slice", 3)
	f.Fuzz(func(_ *testing.T, cgroup string, depth int) { placeOf(cgroup, depth) })
}
