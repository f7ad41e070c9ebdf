package main

import (
	"errors"
	"net/http"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
)

func TestProbesLogWhatIsWrongOnce(t *testing.T) {
	t.Parallel()
	var said []string
	log := funcr.New(func(_, args string) { said = append(said, args) }, funcr.Options{})
	var fault error
	check := aloud("certificate", func(*http.Request) error { return fault }, log)
	expired, wrong := errors.New("it has expired"), errors.New("it is for another name")
	for _, fault = range []error{nil, expired, expired, wrong, nil, nil, expired} {
		if got := check(nil); !errors.Is(got, fault) {
			t.Errorf("the probe says %v, want %v", got, fault)
		}
	}
	want := []string{
		`"level"=0 "msg"="not ready" "probe"="certificate" "error"="it has expired"`,
		`"level"=0 "msg"="not ready" "probe"="certificate" "error"="it is for another name"`,
		`"level"=0 "msg"="ready again" "probe"="certificate"`,
		`"level"=0 "msg"="not ready" "probe"="certificate" "error"="it has expired"`,
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}
