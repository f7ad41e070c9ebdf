package azure

import (
	"embed"
	"fmt"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/reason"
)

//go:embed annotations.yaml operations.yaml callers.yaml
var files embed.FS

// An annotationKind is what a health annotation means.
type annotationKind struct {
	Annotation string `json:"annotation"`
	What       string `json:"what,omitempty"`
	Called     bool   `json:"called,omitempty"`
	Begins     bool   `json:"begins,omitempty"`
	Restarts   bool   `json:"restarts,omitempty"`
}

// An operation ends a machine.
type operation struct {
	Operation string `json:"operation"`
	What      string `json:"what,omitempty"`
	Source    string `json:"source"`
}

// A caller acts for a group of machines.
type caller struct {
	Caller   string `json:"caller,omitempty"`
	Identity string `json:"identity,omitempty"`
	What     string `json:"what"`
	Source   string `json:"source"`
}

var (
	annotationKinds = sync.OnceValue(func() map[string]annotationKind {
		all := map[string]annotationKind{}
		for _, k := range read[annotationKind]("annotations.yaml") {
			all[k.Annotation] = k
		}
		return all
	})
	operations = sync.OnceValue(func() []operation { return read[operation]("operations.yaml") })
	callers    = sync.OnceValue(func() []caller { return read[caller]("callers.yaml") })
)

// read reads a list. The files are part of the program: any test finds an error in them.
func read[T any](name string) []T {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("read %s: %v", name, err))
	}
	var all []T
	if err := yaml.UnmarshalStrict(data, &all); err != nil {
		panic(fmt.Sprintf("read %s: %v", name, err))
	}
	return all
}

// rank returns which of the operations a name is of: Microsoft.Compute/virtualMachines/delete,
// Microsoft.Compute/virtualMachineScaleSets/delete/action. It is -1 for all others.
func rank(name string) int {
	name = strings.TrimSuffix(strings.ToLower(name), "/action")
	if !strings.HasPrefix(name, "microsoft.compute/") {
		return -1
	}
	verb := name[strings.LastIndex(name, "/")+1:]
	for n, o := range operations() {
		if strings.ToLower(o.Operation) == verb {
			return n
		}
	}
	return -1
}

// calledBy returns what a call means by its caller.
func calledBy(name, identity string) string {
	name, identity = strings.ToLower(name), strings.ToLower(identity)
	for _, c := range callers() {
		if c.Caller != "" && c.Caller == name ||
			c.Identity != "" && strings.Contains(identity, c.Identity) {
			return c.What
		}
	}
	return reason.EvidenceTerminated
}
