package configfs

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"
	"strings"
)

// Prefix begins the names of our targets.
const Prefix = "epitaph-"

// A Target is where the kernel's lines go, and by which way. The kernel neither routes nor
// resolves: it puts a frame with these addresses on this device.
type Target struct {
	Device string
	// Source is the address and the port that the datagrams come from.
	Source   netip.AddrPort
	Listener netip.AddrPort
	// NextHop is the link-layer address of the listener, or of the gateway to it.
	NextHop string
}

// Name identifies a target: one with another way has another name, so that it can be created beside
// the one it replaces.
func (t Target) Name() string {
	h := fnv.New32a()
	// a hash accepts all input
	_, _ = fmt.Fprintf(h, "%s %s %s %s", t.Device, t.Source, t.Listener, t.NextHop)
	host := strings.NewReplacer(":", "-", "%", "-").Replace(t.Listener.Addr().String())
	return fmt.Sprintf("%s%s-%d-%08x", Prefix, host, t.Listener.Port(), h.Sum32())
}

func (t Target) String() string {
	return fmt.Sprintf("%s from %s by %s, %s", t.Listener, t.Source, t.Device, t.NextHop)
}

// An attribute is a file of a target.
type attribute struct {
	file, value string
	// optional is set for what older kernels do not have: a target works without it.
	optional bool
}

// attributes are in the order in which they are written. The order matters for release, which needs
// extended.
func (t Target) attributes() []attribute {
	return []attribute{
		{file: "extended", value: "1"},
		{file: "release", value: "1", optional: true}, // Linux 6.6
		{file: "dev_name", value: t.Device},
		{file: "local_ip", value: t.Source.Addr().WithZone("").String()},
		{file: "local_port", value: strconv.Itoa(int(t.Source.Port()))},
		{file: "remote_ip", value: t.Listener.Addr().WithZone("").String()},
		{file: "remote_port", value: strconv.Itoa(int(t.Listener.Port()))},
		{file: "remote_mac", value: t.NextHop},
	}
}

// Script returns what Set would do, as shell commands.
func (t Target) Script(dir string, userdata []Datum) []string {
	dir += "/" + t.Name()
	lines := []string{"mkdir " + dir}
	for _, a := range t.attributes() {
		line := fmt.Sprintf("echo %s > %s/%s", a.value, dir, a.file)
		if a.optional {
			line += " # where the kernel has it"
		}
		lines = append(lines, line)
	}
	for _, d := range userdata {
		at := dir + "/" + userdataDir + "/" + d.Key
		lines = append(lines,
			fmt.Sprintf("mkdir %s && echo %s > %s/value # where the kernel has it",
				at, d.Value, at))
	}
	for _, s := range callers {
		lines = append(lines, fmt.Sprintf("echo 1 > %s/%s/%s # where the kernel has it", dir,
			userdataDir, s))
	}
	return append(lines, fmt.Sprintf("echo 1 > %s/enabled", dir))
}
