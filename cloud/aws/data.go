package aws

import (
	"embed"
	"fmt"
	"sync"

	"sigs.k8s.io/yaml"
)

//go:embed reasons.yaml services.yaml
var files embed.FS

// A stateReason is what a code of EC2 means.
type stateReason struct {
	Code string `json:"code"`
	Says string `json:"says"`
	// What is the word of evidence; empty if the code explains no end.
	What string `json:"what,omitempty"`
	// Called says that somebody called the API.
	Called bool `json:"called,omitempty"`
}

// A service of AWS that ends instances for its own reasons.
type service struct {
	Service string `json:"service"`
	What    string `json:"what"`
	Source  string `json:"source"`
}

var (
	stateReasons = load("reasons.yaml", func(r stateReason) string { return r.Code })
	services     = load("services.yaml", func(s service) string { return s.Service })
)

// load reads a list once, by key. The files are part of the program: any test finds an error in
// them.
func load[T any](name string, key func(T) string) func() map[string]T {
	return sync.OnceValue(func() map[string]T {
		data, err := files.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("read %s: %v", name, err))
		}
		var list []T
		if err := yaml.UnmarshalStrict(data, &list); err != nil {
			panic(fmt.Sprintf("read %s: %v", name, err))
		}
		all := make(map[string]T, len(list))
		for _, entry := range list {
			all[key(entry)] = entry
		}
		return all
	})
}
