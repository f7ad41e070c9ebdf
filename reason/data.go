package reason

import (
	"embed"
	"fmt"
	"sync"

	"sigs.k8s.io/yaml"
)

// files hold facts about the world: what components leave on Nodes and Pods, and who is behind a
// user name. Each entry names its source, and has a case in testdata/cases that fails without it.
//
//go:embed data/*.yaml
var files embed.FS

// load reads a list of entries, once; the list is shared, and must not be changed. The files are
// part of the program: any test finds an error in them.
func load[T any](name string) func() []T {
	return sync.OnceValue(func() []T {
		data, err := files.ReadFile("data/" + name)
		if err != nil {
			panic(fmt.Sprintf("read %s: %v", name, err))
		}
		var all []T
		if err := yaml.UnmarshalStrict(data, &all); err != nil {
			panic(fmt.Sprintf("read %s: %v", name, err))
		}
		return all
	})
}
