package gcp

import (
	"errors"
	"regexp"
	"testing"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]id{
		instance: {"my-project", "europe-west1-b", "worker"},
		"gce://example.com:my-project/us-central1-ai1a/gke-a-b-0": {"example.com:my-project",
			"us-central1-ai1a", "gke-a-b-0"},
		"gce://my-project/europe-west1-b/worker/x": {}, "gce:///europe-west1-b/worker": {},
		`gce://my-project/europe-west1-b/a" OR "b`: {}, "gce://my-project/europe-west1-b/.*": {},
		"gce://my-project/../worker": {}, "aws:///eu-west-1c/i-0598c7d356eba48d7": {}, "": {},
	} {
		got, err := parse(in)
		if got != want || errors.Is(err, explain.ErrNotOurs) != (want == id{}) {
			t.Errorf("%s: %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(instance)
	f.Add("gce://example.com:my-project/us-central1-ai1a/gke-a-b-0")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parse(s)
		if err != nil {
			return
		}
		// Zone and name stand in a pattern, where they may mean nothing but themselves.
		for _, part := range []string{got.zone, got.name} {
			if part == "" || regexp.QuoteMeta(part) != part {
				t.Errorf("%q: %+v", s, got)
			}
		}
		if len(got.project) > 127 {
			t.Errorf("the project has %d bytes", len(got.project))
		}
	})
}
