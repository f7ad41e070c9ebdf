package azure

import (
	"embed"
	"strings"
	"sync"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/reason"
)

//go:embed operations.yaml callers.yaml
var files embed.FS

// An operation ends a machine.
type operation struct {
	Operation string `json:"operation"`
	What      string `json:"what,omitempty"`
	Some      bool   `json:"some,omitempty"`
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
	operations = sync.OnceValue(func() []operation {
		return explain.List[operation](files, "operations.yaml")
	})
	callers = sync.OnceValue(func() []caller {
		return explain.List[caller](files, "callers.yaml")
	})
)

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
