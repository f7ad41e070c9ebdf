package azure

import (
	"errors"
	"strings"
	"testing"

	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]id{
		"azure://" + machine: {subscription: subscription, machine: strings.ToLower(machine)},
		"azure://" + strings.ToUpper(ofSet): {subscription: subscription,
			machine: strings.ToLower(ofSet), set: strings.ToLower(scaleSet), instance: "3"},
		"azure://" + machine + "/x": {}, "azure://" + scaleSet: {},
		"azure://" + machine + "' or 1 == 1": {}, "gce://project/zone/name": {}, "": {},
		strings.Replace("azure://"+machine, subscription, "1", 1): {},
	} {
		got, err := parse(in)
		if got != want || errors.Is(err, explain.ErrNotOurs) != (want == id{}) {
			t.Errorf("%s: %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	const want = `'a\' or \\ \n\r'`
	if got := quoted("a' or \\ \n\r"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("azure://" + machine)
	f.Add("azure://" + ofSet)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parse(s)
		if err != nil {
			return
		}
		// They stand in quotes in a query and in a filter.
		if got.machine == "" || len(got.machine) > 1024 ||
			strings.ContainsAny(got.machine+got.set, "'\"\\ \n\r") {
			t.Errorf("%q: %+v", s, got)
		}
	})
}
