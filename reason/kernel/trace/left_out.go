package trace

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed left_out.yaml
var file []byte

// machinery are the functions that are left out: whole names, and what names begin with.
type machinery struct {
	names    map[string]bool
	prefixes []string
}

var leftOut = sync.OnceValue(func() (m machinery) {
	var all []struct {
		Functions []string `json:"functions"`
		Source    string   `json:"source"`
	}
	if err := yaml.UnmarshalStrict(file, &all); err != nil {
		panic(fmt.Sprintf("read left_out.yaml: %v", err)) // a part of the program: any test finds it
	}
	m.names = map[string]bool{}
	for _, group := range all {
		for _, name := range group.Functions {
			if prefix, ok := strings.CutSuffix(name, "*"); ok {
				m.prefixes = append(m.prefixes, prefix)
			} else {
				m.names[name] = true
			}
		}
	}
	return m
})

func (m machinery) has(function string) bool {
	if m.names[function] {
		return true
	}
	for _, prefix := range m.prefixes {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	return false
}
