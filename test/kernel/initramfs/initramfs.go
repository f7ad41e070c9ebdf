// Package initramfs packs files into the archive that a Linux kernel unpacks as its first root.
//
// Invariant: what it packs depends on its arguments only: no owner, no time.
//
// What this package does not do: compress anything or read an archive.
package initramfs

import "fmt"

// The kinds of files, which are bits of st_mode (man 7 inode).
const (
	Folder  = 0o040000
	Device  = 0o020000 // a character device
	Regular = 0o100000
)

// A File is one entry of the archive. A folder comes before what is in it.
type File struct {
	Name string
	// Mode is the kind and the permissions.
	Mode uint32
	// Major and Minor are a device's numbers.
	Major, Minor uint32
	Content      []byte
}

// Pack writes the "newc" format of the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
func Pack(files []File) []byte {
	var archive []byte
	for n, f := range files {
		archive = f.appendTo(archive, n+1)
	}
	return File{Name: "TRAILER!!!"}.appendTo(archive, 0)
}

func (f File) appendTo(archive []byte, inode int) []byte {
	archive = append(archive, "070701"...)
	for _, field := range []uint32{
		uint32(inode), f.Mode, 0, 0, 1, 0, uint32(len(f.Content)), 0, 0, f.Major, f.Minor,
		uint32(len(f.Name) + 1), 0,
	} {
		archive = fmt.Appendf(archive, "%08X", field)
	}
	archive = pad(append(append(archive, f.Name...), 0))
	return pad(append(archive, f.Content...))
}

// pad fills up to the next multiple of four bytes.
func pad(archive []byte) []byte { return append(archive, make([]byte, -len(archive)&3)...) }
