package crash

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// panicked is the kind of a record that panic() caused (kmsg_dump_reason_str of
// kernel/printk/printk.c).
const panicked = "Panic"

// header is the first line of a record (pstore_dump of fs/pstore/platform.c).
var header = regexp.MustCompile(`^([A-Z][a-z]+)#([0-9]{1,9}) Part([0-9]{1,9})$`)

// A record is one piece of a dump: pstore writes as much at a time as fits into its store, the last
// lines first.
type record struct {
	// backend is where pstore keeps it, and id its number there: both from the file's name.
	backend string
	id      uint64
	// kind is why it was written, and count how many dumps the kernel had written with it.
	kind  string
	count string
	part  int
	text  string
	path  string
	at    time.Time
}

// fileName matches the name of a record: "dmesg-ramoops-0" (pstore_mkfile of fs/pstore/inode.c). It
// excludes one that the kernel could not decompress, which ends in ".enc.z".
var fileName = regexp.MustCompile(`^dmesg-([a-z0-9_-]{1,32})-([0-9]{1,20})$`)

// recordOf reads a file of pstore.
func recordOf(f file) (r record, ok bool) {
	name := fileName.FindStringSubmatch(f.name)
	if name == nil {
		return r, false
	}
	id, err := strconv.ParseUint(name[2], 10, 64)
	if err != nil {
		return r, false
	}
	first, text, _ := strings.Cut(f.content, "\n")
	if r, ok = headed(first); !ok {
		return r, false
	}
	r.backend, r.id, r.text, r.path, r.at = name[1], id, text, f.path, f.modified
	if at, ok := efiTime(r.backend, id); ok {
		r.at = at
	}
	return r, true
}

func headed(s string) (r record, ok bool) {
	m := header.FindStringSubmatch(s)
	if m == nil {
		return r, false
	}
	part, err := strconv.Atoi(m[3])
	return record{kind: m[1], count: m[2], part: part}, err == nil
}

// efiTime reads the time from the name of a record in EFI variables: (seconds*100 + part)*1000 +
// count (drivers/firmware/efi/efi-pstore.c).
func efiTime(backend string, id uint64) (time.Time, bool) {
	const perSecond = 100 * 1000
	if backend != "efi" && backend != "efi_pstore" {
		return time.Time{}, false
	}
	seconds := id / perSecond
	return time.Unix(int64(seconds), 0), true //nolint:gosec // less than 2^48
}

// panics joins the records of panics into dumps, each with its parts in the order in which the
// kernel wrote the lines.
func panics(source Source, all []record) []Dump {
	all = slices.DeleteFunc(all, func(r record) bool { return r.kind != panicked })
	slices.SortFunc(all, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.backend, b.backend), cmp.Compare(a.count, b.count),
			cmp.Compare(a.id, b.id))
	})
	var dumps []Dump
	for from := 0; from < len(all); {
		to := from + 1
		for to < len(all) && all[to].follows(all[to-1]) {
			to++
		}
		dumps = append(dumps, together(source, all[from:to]))
		from = to
	}
	return dumps
}

// follows reports whether a record is a further part of the dump that another one belongs to. Parts
// between them may be missing for lack of room.
func (r record) follows(before record) bool {
	return r.backend == before.backend && r.count == before.count && r.part > before.part
}

// together joins the parts of a dump, of which the first has the last lines.
func together(source Source, parts []record) Dump {
	var text strings.Builder
	var files []string
	for _, r := range slices.Backward(parts) {
		text.WriteString(strings.TrimSuffix(r.text, "\n") + "\n")
		if r.path != "" {
			files = append(files, r.path)
		}
	}
	d := newDump(source, text.String(), lines(text.String(), true))
	d.At, d.Files = parts[0].at, files
	return d
}
