package initramfs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
)

// header is an entry's, with its inode, mode, size, device numbers and length of the name; all else
// is zero.
func header(inode, mode, size, major, minor, name string) string {
	pad := func(s string) string { return strings.Repeat("0", 8-len(s)) + s }
	return "070701" + pad(inode) + pad(mode) + pad("0") + pad("0") + pad("1") + pad("0") +
		pad(size) +
		pad("0") + pad("0") + pad(major) + pad(minor) + pad(name) + pad("0")
}

func TestPack(t *testing.T) {
	t.Parallel()
	trailer := header("0", "0", "0", "0", "0", "B") + "TRAILER!!!\x00\x00\x00\x00"
	for name, test := range map[string]struct {
		files []initramfs.File
		want  string
	}{
		"nothing": {want: trailer},
		"a folder, a device, a program": {
			files: []initramfs.File{
				{Name: "dev", Mode: initramfs.Folder | 0o755},
				{Name: "dev/console", Mode: initramfs.Device | 0o600, Major: 5, Minor: 1},
				{Name: "init", Mode: initramfs.Regular | 0o755, Content: []byte("\x7fELF?")},
			},
			// Headers have 110 bytes: name and content are each filled up so that what follows
			// begins at a multiple of four.
			want: header("1", "41ED", "0", "0", "0", "4") + "dev\x00\x00\x00" +
				header("2", "2180", "0", "5", "1", "C") + "dev/console\x00\x00\x00" +
				header("3", "81ED", "5", "0", "0", "5") + "init\x00\x00" + "\x7fELF?\x00\x00\x00" +
				trailer,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, string(initramfs.Pack(test.files))); diff != "" {
				t.Errorf("Pack (-want +got):\n%s", diff)
			}
		})
	}
}
