package aws

import (
	"embed"
	"sync"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
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
	stateReasons = sync.OnceValue(func() map[string]stateReason {
		return explain.Table(files, "reasons.yaml", func(r stateReason) string { return r.Code })
	})
	services = sync.OnceValue(func() map[string]service {
		return explain.Table(files, "services.yaml", func(s service) string { return s.Service })
	})
)
