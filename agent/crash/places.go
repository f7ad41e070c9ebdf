package crash

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Places are where kernels leave what they left.
type Places struct {
	// Pstore is where pstore is mounted, Moved where systemd-pstore keeps what it found there, and
	// Kdump where kdump does.
	Pstore, Moved, Kdump string
	// Owner is whose files are believed: root's.
	Owner uint32
}

// Dumps are all that can be read, pstore's first. With an error, some of it could not be.
func (p Places) Dumps() ([]Dump, error) {
	var all []Dump
	var failed []error
	for _, read := range []func() ([]Dump, error){p.pstore, p.moved, p.kdump} {
		dumps, err := read()
		failed = append(failed, err)
		for _, d := range dumps {
			if !slices.ContainsFunc(all, func(o Dump) bool { return o.ID == d.ID }) {
				all = append(all, d)
			}
		}
	}
	return all, errors.Join(failed...)
}

func (p Places) reader(wanted func(string) bool) *reader {
	return &reader{owner: p.Owner, wanted: wanted}
}

func isRecord(name string) bool { return fileName.MatchString(name) }

// pstore reads what the kernel kept. The time of a file there is that of the dump.
func (p Places) pstore() ([]Dump, error) {
	r := p.reader(isRecord)
	r.read(p.Pstore, 0)
	return panics(Pstore, records(r.found)), failure("read pstore", r.failed)
}

func records(files []file) []record {
	var all []record
	for _, f := range files {
		if r, ok := recordOf(f); ok {
			all = append(all, r)
		}
	}
	return all
}

// togetherName is that of the file in which systemd-pstore puts the parts of a dump together.
const togetherName = "dmesg.txt"

// moved reads what systemd-pstore has copied, which keeps no times: only names may hold one. Of a
// folder without records the text counts that was made of them.
func (p Places) moved() ([]Dump, error) {
	r := p.reader(func(name string) bool { return isRecord(name) || name == togetherName })
	r.read(p.Moved, maxDepth)
	held := map[string]bool{}
	for n := range r.found {
		r.found[n].modified = time.Time{}
		if f := r.found[n]; f.name != togetherName {
			held[filepath.Dir(f.path)] = true
		}
	}
	all := panics(SystemdPstore, records(r.found))
	for _, f := range r.found {
		if f.name == togetherName && !held[filepath.Dir(f.path)] {
			all = append(all, panics(SystemdPstore, split(f))...)
		}
	}
	return all, failure("read what systemd-pstore has moved", r.failed)
}

// split takes a text apart again: in it the records stand in the order of their lines, each under
// its header. Versions of systemd put the name of the file before that.
func split(f file) []record {
	var all []record
	for s := range strings.Lines(f.content) {
		if r, ok := headed(strings.TrimSuffix(s, "\n")); ok {
			r.backend, r.path = f.path, f.path
			all = append(all, r)
			continue
		}
		if len(all) > 0 && !strings.HasPrefix(s, "dmesg-") {
			all[len(all)-1].text += s
		}
	}
	slices.Reverse(all)
	for n := range all {
		all[n].id = uint64(n)
	}
	return all
}

// isKernelLog tells the logs that kdump-tools of Debian and Ubuntu (dmesg.202611240417) and kdump
// of Red Hat and SUSE write.
func isKernelLog(name string) bool {
	return strings.HasPrefix(name, "dmesg.") || name == "vmcore-dmesg.txt" ||
		name == "vmcore-dmesg-incomplete.txt"
}

// kdump reads the logs of kernels that crashed, one in each folder. When they were written does not
// tell when it crashed.
func (p Places) kdump() ([]Dump, error) {
	r := p.reader(isKernelLog)
	r.read(p.Kdump, 1)
	var all []Dump
	for _, f := range r.found {
		log := lines(f.content, false)
		if len(log) == 0 {
			continue // it is being written
		}
		d := newDump(Kdump, f.content, log)
		d.Files = []string{f.path}
		all = append(all, d)
	}
	return all, failure("read what kdump left", r.failed)
}

func failure(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
