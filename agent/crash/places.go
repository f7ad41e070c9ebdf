package crash

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Places are where kernels leave their dumps.
type Places struct {
	// Pstore is where pstore is mounted, Moved where systemd-pstore moves its files to, and Kdump
	// where kdump writes.
	Pstore, Moved, Kdump string
	// Owner is the UID whose files are believed: root's.
	Owner uint32
}

// Dumps returns all dumps that can be read, pstore's first. An error means that some could not be
// read.
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

// pstore reads what the kernel kept. A file's time there is that of the dump.
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

// togetherName is the file in which systemd-pstore joins the parts of a dump.
const togetherName = "dmesg.txt"

// moved reads what systemd-pstore has copied. It keeps no times: only names may hold one. From a
// folder without records, the text joined from them is read instead.
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

// split splits a joined text again: the records are in the order of their lines, each under its
// header. Some versions of systemd put the file's name before that.
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

// isKernelLog matches the logs that kdump-tools of Debian and Ubuntu (dmesg.202611240417) and kdump
// of Red Hat and SUSE write.
func isKernelLog(name string) bool {
	return strings.HasPrefix(name, "dmesg.") || name == "vmcore-dmesg.txt" ||
		name == "vmcore-dmesg-incomplete.txt"
}

// kdump reads the logs of crashed kernels, one in each folder. The time they were written is not
// the time of the crash.
func (p Places) kdump() ([]Dump, error) {
	r := p.reader(isKernelLog)
	r.read(p.Kdump, 1)
	var all []Dump
	for _, f := range r.found {
		log := lines(f.content, false)
		if len(log) == 0 {
			continue // still being written
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
