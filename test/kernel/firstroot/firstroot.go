// Package firstroot is what a machine of the tests begins with: our init (test/kernel/guest), and
// modules of the kernel.
//
// What this package does not do: build the init, or load the modules.
package firstroot

import (
	"context"
	"fmt"
	"slices"

	"github.com/epitaph-k8s/epitaph/test/kernel/debian"
	"github.com/epitaph-k8s/epitaph/test/kernel/initramfs"
)

// Files are the init, also as what the kernel starts to have a module loaded, and the modules
// without which the kernel knows no network card.
func Files(ctx context.Context, k debian.Kernel, init []byte) ([]initramfs.File, error) {
	network, err := Modules(ctx, k, "virtio", "virtio_pci", "virtio_net")
	if err != nil {
		return nil, err
	}
	return slices.Concat([]initramfs.File{
		Folder("dev"),
		{Name: "dev/console", Mode: initramfs.Device | 0o600, Major: 5, Minor: 1},
		Folder("modules"), Folder("sbin"),
		Program("sbin/modprobe", init), Program("init", init),
	}, network), nil
}

// Modules are modules of one kind, with those that they depend on, in the order in which they have
// to be loaded.
func Modules(ctx context.Context, k debian.Kernel, kind string,
	names ...string) ([]initramfs.File, error) {
	modules, err := k.Modules(ctx, names...)
	if err != nil {
		return nil, err
	}
	files := []initramfs.File{Folder("modules/" + kind)}
	for n, m := range modules {
		files = append(files, Text(fmt.Sprintf("modules/%s/%02d-%s.ko", kind, n, m.Name),
			m.Content))
	}
	return files, nil
}

// Folder is an empty folder.
func Folder(name string) initramfs.File {
	return initramfs.File{Name: name, Mode: initramfs.Folder | 0o755}
}

// Program is a file that can be executed.
func Program(name string, content []byte) initramfs.File {
	return initramfs.File{Name: name, Mode: initramfs.Regular | 0o755, Content: content}
}

// Text is a file that cannot.
func Text(name string, content []byte) initramfs.File {
	return initramfs.File{Name: name, Mode: initramfs.Regular | 0o644, Content: content}
}
