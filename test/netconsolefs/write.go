package netconsolefs

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Mkdir makes a target, or an item of userdata.
func (k *Kernel) Mkdir(dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.denied != nil {
		return fail("mkdir", dir, k.denied)
	}
	parts := split(dir)
	if len(parts) == 1 {
		if k.targets[dir] != nil {
			return fail("mkdir", dir, syscall.EEXIST)
		}
		k.targets[dir] = &target{userdata: map[string]*datum{}, switches: map[string]bool{},
			values: map[string]string{
				"extended": "0", "release": "0", "dev_name": "eth0", "local_port": "6665",
				"remote_port": "6666",
				"local_ip":    "0.0.0.0", "remote_ip": "0.0.0.0", "local_mac": "ff:ff:ff:ff:ff:ff",
				"remote_mac": "ff:ff:ff:ff:ff:ff",
			}}
		return nil
	}
	t := k.targets[parts[0]]
	switch {
	case t == nil, len(parts) != 3, parts[1] != "userdata", !k.version.Userdata:
		return fail("mkdir", dir, syscall.ENOENT)
	case t.userdata[parts[2]] != nil || slices.Contains(k.version.Sysdata, parts[2]):
		return fail("mkdir", dir, syscall.EEXIST)
	case len(parts[2]) > maxKey:
		return fail("mkdir", dir, syscall.ENAMETOOLONG)
	case len(t.userdata) >= maxItems:
		return fail("mkdir", dir, syscall.ENOSPC)
	}
	t.userdata[parts[2]] = &datum{mode: 0o644}
	return nil
}

// Rmdir removes a target, which may be enabled but must have no userdata, or an item of userdata.
func (k *Kernel) Rmdir(dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.denied != nil {
		return fail("rmdir", dir, k.denied)
	}
	parts := split(dir)
	t := k.targets[parts[0]]
	switch {
	case t == nil:
		return fail("rmdir", dir, syscall.ENOENT)
	case len(parts) == 1 && len(t.userdata) > 0:
		return fail("rmdir", dir, syscall.ENOTEMPTY)
	case len(parts) == 1:
		delete(k.targets, dir)
		return nil
	case len(parts) == 3 && slices.Contains(k.version.Sysdata, parts[2]):
		return fail("rmdir", dir, syscall.ENOTDIR)
	case len(parts) != 3 || t.userdata[parts[2]] == nil:
		return fail("rmdir", dir, syscall.ENOENT)
	}
	delete(t.userdata, parts[2])
	return nil
}

// Chmod changes the mode of a value of userdata.
func (k *Kernel) Chmod(name string, mode fs.FileMode) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.datum(name)
	if d == nil {
		return fail("chmod", name, syscall.ENOENT)
	}
	d.mode = mode
	return nil
}

func (k *Kernel) datum(name string) *datum {
	parts := split(name)
	t := k.targets[parts[0]]
	if t == nil || len(parts) != 4 || parts[1] != "userdata" || parts[3] != "value" {
		return nil
	}
	return t.userdata[parts[2]]
}

// sysdata finds the target of one of its switches.
func (k *Kernel) sysdata(name string) (t *target, which string) {
	parts := split(name)
	t = k.targets[parts[0]]
	if t == nil || len(parts) != 3 || parts[1] != "userdata" ||
		!slices.Contains(k.version.Sysdata, parts[2]) {
		return nil, ""
	}
	return t, parts[2]
}

// Read reads an attribute.
func (k *Kernel) Read(file string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.denied != nil {
		return "", fail("open", file, k.denied)
	}
	if d := k.datum(file); d != nil {
		return d.value, nil
	}
	if t, which := k.sysdata(file); t != nil {
		return map[bool]string{true: "1\n", false: "0\n"}[t.switches[which]], nil
	}
	name, attribute, _ := strings.Cut(file, "/")
	t := k.targets[name]
	if t == nil {
		return "", fail("open", file, syscall.ENOENT)
	}
	if attribute == "enabled" {
		return map[bool]string{true: "1", false: "0"}[t.enabled], nil
	}
	value, ok := t.values[attribute]
	if !ok || attribute == "release" && !k.version.Release {
		return "", fail("open", file, syscall.ENOENT)
	}
	if attribute == "remote_mac" && k.lie != "" {
		return k.lie, nil
	}
	return value, nil
}

// Write writes an attribute. All but userdata, sysdata and the switch itself refuse it while the
// target is enabled.
func (k *Kernel) Write(file, value string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.denied != nil {
		return fail("open", file, k.denied)
	}
	if d := k.datum(file); d != nil {
		if len(value)+1 > maxValue {
			return fail("write", file, syscall.EMSGSIZE)
		}
		d.value = value
		return nil
	}
	if t, which := k.sysdata(file); t != nil {
		return k.throw(t, which, value)
	}
	name, attribute, _ := strings.Cut(file, "/")
	t := k.targets[name]
	_, known := map[string]bool{"enabled": true}[attribute]
	if t != nil && !known {
		_, known = t.values[attribute]
	}
	switch {
	case t == nil, !known, attribute == "release" && !k.version.Release:
		return fail("open", file, syscall.ENOENT)
	case attribute == "local_mac":
		return fail("open", file, syscall.EACCES)
	case attribute == "enabled":
		return k.enable(t, name, value)
	case t.enabled:
		k.said = append(k.said,
			fmt.Sprintf("netconsole: target (%s) is enabled, disable to update parameters",
				name))
		return fail("write", file, syscall.EINVAL)
	}
	return k.set(t, attribute, value)
}

// throw switches sysdata on or off, whether the target is enabled or not.
func (k *Kernel) throw(t *target, which, value string) error {
	switch {
	case value != "0" && value != "1":
		return fail("write", which, syscall.EINVAL)
	case value == "0":
		delete(t.switches, which)
	case k.version.SysdataCounts && !t.switches[which] &&
		len(t.userdata)+len(t.switches) >= maxItems:
		return fail("write", which, syscall.ENOSPC)
	default:
		t.switches[which] = true
	}
	return nil
}

func (k *Kernel) enable(t *target, name, value string) error {
	refused := k.devices[t.values["dev_name"]]
	_, there := k.devices[t.values["dev_name"]]
	switch {
	case value != "0" && value != "1", (value == "1") == t.enabled:
		k.said = append(k.said, "netconsole: network logging has already "+
			map[bool]string{true: "started", false: "stopped"}[t.enabled])
		return fail("write", name+"/enabled", syscall.EINVAL)
	case value == "1" && !there:
		return fail("write", name+"/enabled", syscall.ENODEV)
	case value == "1" && refused != nil:
		return fail("write", name+"/enabled", refused)
	}
	t.enabled = value == "1"
	return nil
}

func (k *Kernel) set(t *target, attribute, value string) error {
	refused := fail("write", attribute, syscall.EINVAL)
	switch attribute {
	case "extended", "release":
		if value != "0" && value != "1" || attribute == "release" && value == "1" &&
			t.values["extended"] != "1" {
			return refused
		}
	case "local_port", "remote_port":
		if _, err := strconv.ParseUint(value, 10, 16); err != nil {
			return refused
		}
	case "local_ip", "remote_ip":
		addr, err := netip.ParseAddr(value)
		if err != nil || addr.Zone() != "" || addr.Is4() && t.ipv6 && k.version.FamilySticks {
			return refused
		}
		t.ipv6 = addr.Is6()
	case "remote_mac":
		if mac, err := net.ParseMAC(value); err != nil || len(mac) != 6 {
			return refused
		}
	}
	t.values[attribute] = value
	return nil
}
