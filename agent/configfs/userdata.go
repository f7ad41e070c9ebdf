package configfs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// userdataDir is where a target of Linux 6.9 and later keeps what it adds to all it sends.
const userdataDir = "userdata"

// MaxUserdataBytes is how long a value of userdata may be (MAX_USERDATA_VALUE_LENGTH of
// drivers/net/netconsole.c, with its zero).
const MaxUserdataBytes = 199

// A Datum is one value that the kernel adds to all it sends.
type Datum struct{ Key, Value string }

// callers are the switches that make the kernel add to a line the CPU and the task that printed it
// (Linux 6.14 and 6.15; Documentation/networking/netconsole.rst). Before Linux 7.0 it is the task
// that sends, and the listener does not read it.
var callers = []string{"cpu_nr_enabled", "taskname_enabled"}

// tell sets userdata if the kernel has it, and then the switches. A task chooses its own name,
// which may look like userdata, of which the first counts; hence the order. All of it may change
// while the target is enabled.
func (k *Kernel) tell(name string, userdata []Datum) error {
	for _, d := range userdata {
		err := k.set(name+"/"+userdataDir+"/"+d.Key, d.Value)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // The kernel has no userdata.
		}
		if err != nil {
			return refused(fmt.Sprintf("set userdata %s of netconsole target %s", d.Key, name), err)
		}
	}
	k.nameCallers(name)
	return nil
}

// nameCallers turns on those switches that are off. A kernel may lack them, or have no room for
// them beside the userdata. A target works without them, so no failure here is worth an error.
func (k *Kernel) nameCallers(name string) {
	for _, s := range callers {
		file := name + "/" + userdataDir + "/" + s
		if on, err := k.files.Read(file); err == nil && strings.TrimSpace(on) == "0" {
			_ = k.files.Write(file, "1")
		}
	}
}

// set makes a datum readable by root alone before filling it in: the kernel creates its file
// readable for all.
func (k *Kernel) set(dir, value string) error {
	if err := k.files.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	file := dir + "/value"
	if old, err := k.files.Read(file); err == nil && old == value {
		return nil
	}
	if err := k.files.Chmod(file, 0o600); err != nil {
		return err
	}
	return k.files.Write(file, value)
}

// Userdata returns the value that one of our targets has under a key; empty if none has it, or the
// kernel has no userdata.
func (k *Kernel) Userdata(key string) (string, error) {
	all, err := k.Found()
	if err != nil {
		return "", err
	}
	for _, f := range all {
		value, err := k.files.Read(f.Name + "/" + userdataDir + "/" + key + "/value")
		if err == nil && value != "" {
			return value, nil
		}
	}
	return "", nil
}

// TakesUserdata reports whether a target of ours can add userdata to what it sends.
func (k *Kernel) TakesUserdata(t Target) bool {
	_, err := k.files.List(t.Name() + "/" + userdataDir)
	return err == nil
}
