package debian

import (
	"context"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/epitaph-k8s/epitaph/test/kernel/module"
)

// A Module is one of a kernel's, ready to be loaded.
type Module struct {
	Name    string
	Content []byte
}

// Modules reads modules of the kernel and those that they depend on, in the order in which they can
// be loaded. What the kernel has no module of is built in.
func (k Kernel) Modules(ctx context.Context, names ...string) (all []Module, err error) {
	for _, name := range names {
		if all, err = k.with(ctx, all, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (k Kernel) with(ctx context.Context, all []Module, name string) ([]Module, error) {
	if slices.ContainsFunc(all, func(m Module) bool { return m.Name == name }) {
		return all, nil
	}
	content, err := k.module(ctx, name)
	if err != nil || content == nil {
		return all, err
	}
	depends, err := module.Depends(content)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", name, k.Release, err)
	}
	for _, other := range depends {
		if all, err = k.with(ctx, all, other); err != nil {
			return nil, err
		}
	}
	return append(all, Module{Name: name, Content: content}), nil
}

// decompressors are the programs for the endings of modules.
var decompressors = map[string][]string{".ko": {"cat"}, ".ko.xz": {"xz", "-dc"},
	".ko.zst": {"zstd", "-dqc"}, ".ko.gz": {"gzip", "-dc"}}

// module reads one; nil if the kernel has no such module.
func (k Kernel) module(ctx context.Context, name string) (content []byte, err error) {
	err = filepath.WalkDir(k.modules, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// A file may have a hyphen where the module's name has an underscore.
		ending, ok := strings.CutPrefix(strings.ReplaceAll(entry.Name(), "-", "_"), name)
		command := decompressors[ending]
		if !ok || command == nil {
			return nil
		}
		if content, err = exec.CommandContext(ctx, command[0],
			append(command[1:], path)...).Output(); err != nil {
			return fmt.Errorf("run %s: %w", command[0], err)
		}
		return fs.SkipAll
	})
	if err != nil {
		return nil, fmt.Errorf("read module %s of %s: %w", name, k.Release, err)
	}
	return content, nil
}
