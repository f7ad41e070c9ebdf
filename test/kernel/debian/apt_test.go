package debian

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPartsIn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		depends string
		want    []string
	}{
		"bookworm's newest kernel": {
			depends: "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n",
			want:    []string{"linux-image-6.1.0-56-cloud-amd64"},
		},
		"trixie's image, which is all of it": {
			depends: "linux-image-6.12.117+deb13-cloud-amd64\n  PreDepends: linux-base\n  Depends: kmod\n |Depends: initramfs-tools\n" +
				"  Depends: <linux-initramfs-tool>\n    dracut\n    initramfs-tools\n    tiny-initramfs\n",
		},
		"sid's image, which has its parts elsewhere": {
			depends: "linux-image-7.2.13+deb14-cloud-amd64\n  PreDepends: linux-base\n |Depends: dracut\n |Depends: initramfs-tools\n" +
				"  Depends: <linux-initramfs-tool>\n    dracut\n  Depends: linux-base-7.2.13+deb14-cloud-amd64\n" +
				"  Depends: linux-binary-7.2.13+deb14-cloud-amd64\n  Depends: linux-modules-7.2.13+deb14-cloud-amd64\n",
			want: []string{"linux-binary-7.2.13+deb14-cloud-amd64",
				"linux-modules-7.2.13+deb14-cloud-amd64"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, partsIn(test.depends)); diff != "" {
				t.Errorf("partsIn (-want +got):\n%s", diff)
			}
		})
	}
}
