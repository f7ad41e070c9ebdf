package gcp

import (
	"embed"
	"fmt"
	"path"
	"sync"

	"sigs.k8s.io/yaml"

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
		all := map[string]kind{}
		for _, k := range read[kind]("operations.yaml") {
			all[k.Type] = k
		}
		return all
	})
	users = sync.OnceValue(func() []user { return read[user]("users.yaml") })
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

// calledBy returns what a call means by its user.
func calledBy(name string) string {
	for _, u := range users() {
		if ok, err := path.Match(u.User, name); err == nil && ok {
			return u.What
		}
	}
	return reason.EvidenceTerminated
}
