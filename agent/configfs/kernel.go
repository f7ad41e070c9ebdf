package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/epitaph-k8s/epitaph/agent/fault"
)

// A Kernel holds the targets.
type Kernel struct{ files Files }

// On returns the kernel behind the files.
func On(files Files) *Kernel { return &Kernel{files} }

// A Found is a target of ours that the kernel has.
type Found struct {
	Name string
	Target
	// Enabled is false for a target that the kernel has disabled: it does so when the device goes,
	// or joins a bond or a bridge.
	Enabled bool
}

// Found lists our targets, by name. A target that goes while it is being read is left out.
func (k *Kernel) Found() ([]Found, error) {
	names, err := k.files.List(".")
	if err != nil {
		return nil, refused("list the netconsole targets", err)
	}
	var all []Found
	for _, name := range names {
		if !strings.HasPrefix(name, Prefix) {
			continue
		}
		f, err := k.read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, refused("read netconsole target "+name, err)
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Found) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// read reads what the kernel reports. An invalid value leaves its field empty, which matches no
// target.
func (k *Kernel) read(name string) (Found, error) {
	values := map[string]string{}
	for _, file := range []string{"enabled", "extended", "dev_name", "local_ip", "local_port",
		"remote_ip", "remote_port", "remote_mac"} {
		value, err := k.files.Read(name + "/" + file)
		if err != nil {
			return Found{}, err
		}
		values[file] = strings.TrimSpace(value)
	}
	f := Found{Name: name, Enabled: values["enabled"] == "1" && values["extended"] == "1"}
	f.Device, f.NextHop = values["dev_name"], values["remote_mac"]
	f.Source = addrPort(values["local_ip"], values["local_port"])
	f.Listener = addrPort(values["remote_ip"], values["remote_port"])
	return f, nil
}

func addrPort(host, port string) netip.AddrPort {
	addr, err := netip.ParseAddr(host)
	n, errPort := strconv.ParseUint(port, 10, 16)
	if err != nil || errPort != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, uint16(n))
}

// Set makes the kernel send to t, and reports whether it had to create the target. An existing
// target that differs, or was disabled, is created anew. One that the kernel refuses, or does not
// report back as it was written, is removed again.
func (k *Kernel) Set(t Target, userdata []Datum) (made bool, err error) {
	name := t.Name()
	if f, err := k.read(name); err == nil {
		if f.Speaks(t) {
			return false, k.tell(name, userdata)
		}
		if err := k.Remove(name); err != nil {
			return false, err
		}
	}
	if err := k.files.Mkdir(name); err != nil {
		return false, refused("make netconsole target "+name, err)
	}
	if err := k.enable(name, t, userdata); err != nil {
		return false, errors.Join(err, k.Remove(name))
	}
	return true, nil
}

func (k *Kernel) enable(name string, t Target, userdata []Datum) error {
	for _, a := range t.attributes() {
		err := k.files.Write(name+"/"+a.file, a.value)
		if a.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return refused(fmt.Sprintf("set %s of netconsole target %s", a.file, name), err)
		}
	}
	if err := k.tell(name, userdata); err != nil {
		return err
	}
	if err := k.files.Write(name+"/enabled", "1"); err != nil {
		return notEnabled(t, err)
	}
	f, err := k.read(name)
	if err != nil {
		return refused("read netconsole target "+name+" back", err)
	}
	if !f.Speaks(t) {
		return fault.New(fault.TargetRefused, nil, fmt.Sprintf(
			"the kernel reports another netconsole target than was set: %s instead of %s",
			f.Target, t),
			"look for another program that writes to netconsole's configfs")
	}
	return nil
}

// Speaks reports whether the kernel reports exactly t, enabled.
func (f Found) Speaks(t Target) bool {
	want := t
	want.Source = netip.AddrPortFrom(t.Source.Addr().WithZone(""), t.Source.Port())
	want.Listener = netip.AddrPortFrom(t.Listener.Addr().WithZone(""), t.Listener.Port())
	return f.Enabled && f.Target == want
}

// Remove removes a target, enabled or not. One that is gone is success.
func (k *Kernel) Remove(name string) error {
	if !strings.HasPrefix(name, Prefix) {
		return fmt.Errorf("remove netconsole target %s: it is not ours", name)
	}
	data, err := k.files.List(name + "/" + userdataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refused("list the userdata of netconsole target "+name, err)
	}
	for _, key := range data {
		err := k.files.Rmdir(name + "/" + userdataDir + "/" + key)
		// Beside the directories there are the kernel's switches, which are files and go with the
		// target.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return refused("remove userdata "+key+" of netconsole target "+name, err)
		}
	}
	if err := k.files.Rmdir(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refused("remove netconsole target "+name, err)
	}
	return nil
}
