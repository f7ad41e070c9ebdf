package records

import (
	"embed"
	"path"
	"sync"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
	"github.com/epitaph-k8s/epitaph/reason"
)

//go:embed operations.yaml users.yaml
var files embed.FS

// A kind is what a type of operation means for an instance.
type kind struct {
	Type   string `json:"type"`
	Ends   bool   `json:"ends,omitempty"`
	Begins bool   `json:"begins,omitempty"`
	What   string `json:"what,omitempty"`
	Called bool   `json:"called,omitempty"`
	Source string `json:"source"`
}

// A user acts for a group of instances.
type user struct {
	User   string `json:"user"`
	What   string `json:"what"`
	Source string `json:"source"`
}

var (
	kinds = sync.OnceValue(func() map[string]kind {
		return explain.Table(files, "operations.yaml", func(k kind) string { return k.Type })
	})
	users = sync.OnceValue(func() []user { return explain.List[user](files, "users.yaml") })
)

// calledBy returns what a call means by its user.
func calledBy(name string) string {
	for _, u := range users() {
		if ok, err := path.Match(u.User, name); err == nil && ok {
			return u.What
		}
	}
	return reason.EvidenceTerminated
}
