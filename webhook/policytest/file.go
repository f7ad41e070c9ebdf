package policytest

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/yaml"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/reason"
)

// What a file says that it is.
const (
	APIVersion = "config.epitaph-k8s.io/v1alpha1"
	Kind       = "PolicyTest"
)

// A File says what is expected of the webhook. Its paths are relative to its own.
type File struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Config is the file with the configuration; left out, the defaults hold.
	Config string `json:"config,omitempty"`
	// Objects are files with what the cluster of every case has.
	Objects []string `json:"objects,omitempty"`
	// Now is when every case takes place; left out, at the present time.
	Now time.Time `json:"now,omitzero"`
	// Cases are requests, and what must come of them.
	Cases []Case `json:"cases"`
}

// A Case is one request, or several, of which the same is expected. Either Reviews are given, or a
// User and what they delete or evict.
type Case struct {
	Name string `json:"name"`
	// Reviews are files with AdmissionReviews as the API server sends them.
	Reviews []string `json:"reviews,omitempty"`
	User    string   `json:"user,omitempty"`
	Groups  []string `json:"groups,omitempty"`
	Deletes *Target  `json:"deletes,omitempty"`
	Evicts  *Target  `json:"evicts,omitempty"`
	// Says and For are what the requester of an eviction writes on it.
	Says string `json:"says,omitempty"`
	For  string `json:"for,omitempty"`
	// Objects are what this cluster has besides.
	Objects []map[string]any `json:"objects,omitempty"`
	// Now is when the case takes place, where not at the file's time.
	Now  time.Time `json:"now,omitzero"`
	Want Want      `json:"want"`
}

// Want is what must come of a request. What is left out may be anything.
type Want struct {
	// Decision is allowed or denied.
	Decision string `json:"decision,omitempty"`
	// Rule is the one that must decide.
	Rule string      `json:"rule,omitempty"`
	Code reason.Code `json:"code,omitempty"`
	// Reason, By and Message may have * in them, or be regular expressions between slashes.
	Reason  reason.Pattern `json:"reason,omitzero"`
	By      reason.Pattern `json:"by,omitzero"`
	Message reason.Pattern `json:"message,omitzero"`
}

// The decisions.
const (
	allowed = "allowed"
	denied  = "denied"
)

// check tells which field of a case cannot be meant.
func (c Case) check() error {
	ways := 0
	for _, is := range []bool{len(c.Reviews) > 0, c.Deletes != nil, c.Evicts != nil} {
		if is {
			ways++
		}
	}
	w := c.Want
	switch {
	case c.Name == "":
		return fmt.Errorf("name: is missing: say in a few words what is tried")
	case ways != 1:
		return fmt.Errorf("write exactly one of reviews, deletes and evicts")
	case len(c.Reviews) > 0 && (c.User != "" || len(c.Groups) > 0):
		return fmt.Errorf("user: goes with deletes and evicts; a review says itself who asks")
	case c.Evicts == nil && (c.Says != "" || c.For != ""):
		return fmt.Errorf("says: and for: go with evicts")
	case w.Decision != "" && w.Decision != allowed && w.Decision != denied:
		return fmt.Errorf("want.decision: is %q: write %s or %s", w.Decision, allowed, denied)
	case w.Code != "" && !w.Code.Known():
		return fmt.Errorf("want.code: is %q, which is no code: docs/reasons.md lists them", w.Code)
	case w.empty():
		return fmt.Errorf(
			"want: is missing: write at least one of decision, rule, code, reason, by and message")
	}
	return nil
}

func (w Want) empty() bool {
	return w.Decision == "" && w.Rule == "" && w.Code == "" && w.Reason.IsZero() && w.By.IsZero() &&
		w.Message.IsZero()
}

// Read reads a test file, and everything that it names.
func Read(path string) (*Suite, error) {
	data, err := os.ReadFile(path) //nolint:gosec // whoever runs the command names the file
	if err != nil {
		return nil, fmt.Errorf("read the test: %w", err)
	}
	var f File
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		return nil, fmt.Errorf("read the test %s: %w", path, err)
	}
	if f.Kind != Kind || f.APIVersion != APIVersion {
		return nil,
			fmt.Errorf("read the test %s: kind: is %q of %q: write kind: %s and apiVersion: %s",
				path, f.Kind, f.APIVersion, Kind, APIVersion)
	}
	if len(f.Cases) == 0 {
		return nil,
			fmt.Errorf("read the test %s: cases: is empty: a test that tries nothing cannot fail",
				path)
	}
	beside := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(path), name)
	}
	s := &Suite{Name: path, Config: config.Default(), Now: f.Now}
	if f.Config != "" {
		if s.Config, err = config.Load(beside(f.Config)); err != nil {
			return nil, fmt.Errorf("read the test %s: config: %w", path, err)
		}
	}
	for _, name := range f.Objects {
		some, err := ReadObjects(beside(name))
		if err != nil {
			return nil, fmt.Errorf("read the test %s: %w", path, err)
		}
		s.Objects = append(s.Objects, some...)
	}
	for n, c := range f.Cases {
		t, err := c.trial(s.Objects, beside)
		if err != nil {
			return nil, fmt.Errorf("read the test %s: case %d %q: %w", path, n+1, c.Name, err)
		}
		s.Trials = append(s.Trials, t)
	}
	return s, nil
}

// trial makes the requests of a case.
func (c Case) trial(all Objects, beside func(string) string) (t Trial, err error) {
	if err := c.check(); err != nil {
		return t, err
	}
	t = Trial{Name: c.Name, Now: c.Now, Want: c.Want}
	for n, content := range c.Objects {
		some, err := objectsIn(content)
		if err != nil {
			return t, fmt.Errorf("objects[%d]: %w", n, err)
		}
		t.Objects = append(t.Objects, some...)
	}
	for _, name := range c.Reviews {
		some, err := ReadReviews(beside(name))
		if err != nil {
			return t, err
		}
		t.Requests = append(t.Requests, some...)
	}
	if len(c.Reviews) == 0 {
		req, err := c.request(append(t.Objects[:len(t.Objects):len(t.Objects)], all...))
		if err != nil {
			return t, err
		}
		t.Requests = []*admissionv1.AdmissionRequest{req}
	}
	return t, nil
}
