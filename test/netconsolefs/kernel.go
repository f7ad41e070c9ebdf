package netconsolefs

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A Version is what a version of Linux has.
type Version struct {
	// Release is the attribute that puts the kernel's release before each line.
	Release bool
	// Userdata is set where a target has a folder of values that it adds to all it sends.
	Userdata bool
	// Sysdata are the switches that the folder of userdata holds from the start.
	Sysdata []string
	// SysdataCounts is set where a switch that is on takes a place of an item of userdata.
	SysdataCounts bool
	// FamilySticks is set where a target whose addresses were IPv6 once takes no IPv4 any more.
	FamilySticks bool
}

// Versions are those whose attributes differ.
var Versions = map[string]Version{
	"5.15": {FamilySticks: true},
	"6.1":  {FamilySticks: true},
	"6.6":  {Release: true, FamilySticks: true},
	"6.9":  {Release: true, Userdata: true, FamilySticks: true},
	"6.14": {Release: true, Userdata: true, Sysdata: []string{"cpu_nr_enabled"},
		SysdataCounts: true},
	"7.3": {Release: true, Userdata: true, Sysdata: []string{"cpu_nr_enabled", "msgid_enabled",
		"release_enabled", "taskname_enabled"}},
}

const (
	maxItems = 16  // MAX_USERDATA_ITEMS
	maxKey   = 53  // MAX_USERDATA_NAME_LENGTH
	maxValue = 200 // MAX_USERDATA_VALUE_LENGTH
)

// A Kernel has targets. Its methods are those of configfs.Files.
type Kernel struct {
	mu      sync.Mutex
	version Version
	targets map[string]*target
	// devices are the addresses of each device; an error is what netpoll says to it.
	devices map[string]error
	said    []string
	denied  error
	// Lie makes the kernel report another next hop than was written.
	lie string
}

type target struct {
	values   map[string]string
	enabled  bool
	ipv6     bool
	userdata map[string]*datum
	switches map[string]bool
}

type datum struct {
	value string
	mode  fs.FileMode
}

// New returns a kernel of a version with a device eth0.
func New(v Version) *Kernel {
	return &Kernel{version: v, targets: map[string]*target{},
		devices: map[string]error{"eth0": nil}}
}

// Device adds a device; netpoll refuses it with err, unless that is nil.
func (k *Kernel) Device(name string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.devices[name] = err
}

// Unplug takes a device away: its targets are disabled for good (Linux 6.x).
func (k *Kernel) Unplug(device string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.devices, device)
	for _, t := range k.targets {
		t.enabled = t.enabled && t.values["dev_name"] != device
	}
}

// Deny has every access fail; nil lets them pass again.
func (k *Kernel) Deny(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.denied = err
}

// Lie has the kernel report this next hop whatever was written.
func (k *Kernel) Lie(mac string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lie = mac
}

// Said are the lines that the kernel printed about us, and sent to whoever listened.
func (k *Kernel) Said() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.said)
}

// Speaking lists to whom enabled targets send: "address:port by mac" each.
func (k *Kernel) Speaking() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for _, t := range k.targets {
		if t.enabled {
			all = append(all, fmt.Sprintf("%s:%s by %s", t.values["remote_ip"],
				t.values["remote_port"], t.values["remote_mac"]))
		}
	}
	slices.Sort(all)
	return all
}

// Value returns a value of userdata of a target, and the mode of its file.
func (k *Kernel) Value(name, key string) (value string, mode fs.FileMode, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.targets[name]
	if t == nil || t.userdata[key] == nil {
		return "", 0, false
	}
	return t.userdata[key].value, t.userdata[key].mode, true
}

// Switched lists the switches of a target that are on.
func (k *Kernel) Switched(name string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.targets[name] == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(k.targets[name].switches))
}

// Names lists the targets.
func (k *Kernel) Names() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Sorted(maps.Keys(k.targets))
}

func fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: "netconsole/" + name, Err: err}
}

// split takes a path apart: a target, and what is below it.
func split(name string) []string { return strings.Split(path.Clean(name), "/") }

// List is readdir.
func (k *Kernel) List(dir string) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.denied != nil {
		return nil, fail("open", dir, k.denied)
	}
	parts := split(dir)
	if parts[0] == "." {
		return slices.Sorted(maps.Keys(k.targets)), nil
	}
	t := k.targets[parts[0]]
	if t == nil || len(parts) != 2 || parts[1] != "userdata" || !k.version.Userdata {
		return nil, fail("open", dir, syscall.ENOENT)
	}
	return append(slices.Clone(k.version.Sysdata), slices.Sorted(maps.Keys(t.userdata))...), nil
}
