package explain

import (
	"fmt"
	"io/fs"

	"sigs.k8s.io/yaml"
)

// List reads a file of what a cloud's words mean: data with its source, as a list. The files are
// part of the program, so that any test finds an error in them: List panics over one.
func List[T any](files fs.FS, name string) []T {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		panic(fmt.Sprintf("read %s: %v", name, err))
	}
	var all []T
	if err := yaml.UnmarshalStrict(data, &all); err != nil {
		panic(fmt.Sprintf("read %s: %v", name, err))
	}
	return all
}

// Table is List by a key.
func Table[T any](files fs.FS, name string, key func(T) string) map[string]T {
	all := map[string]T{}
	for _, entry := range List[T](files, name) {
		all[key(entry)] = entry
	}
	return all
}
