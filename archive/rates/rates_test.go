package rates_test

import (
	"testing"

	"github.com/epitaph-k8s/epitaph/archive"
	"github.com/epitaph-k8s/epitaph/archive/rates"
	"github.com/epitaph-k8s/epitaph/reason"
)

func TestRoutineIsRecorded(t *testing.T) {
	t.Parallel()
	count := func(code reason.Code) archive.Count { return archive.Count{Of: []string{string(code)}, N: 1} }
	for name, tc := range map[string]struct {
		routine []archive.Count
		want    bool
	}{
		"nothing":                      {nil, false},
		"what is recorded by default":  {[]archive.Count{count(reason.UserRequest), count(reason.JobFailed)}, false},
		"what audit.classes has added": {[]archive.Count{count(reason.UserRequest), count(reason.ScaledDown)}, true},
	} {
		if got := rates.RoutineIsRecorded(tc.routine); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}
