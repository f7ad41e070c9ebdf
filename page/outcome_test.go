package page

import (
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Resource: "podobituaries"}
	tests := map[string]struct {
		err    error
		name   string
		status int
	}{
		"nothing wrong": {nil, "shown", 200},
		"nobody":        {errAnonymous, "anonymous", 401},
		"no right": {fmt.Errorf("list: %w",
			apierrors.NewForbidden(resource, "", errors.New("x"))), "forbidden", 403},
		"nothing there": {fmt.Errorf("get: %w", apierrors.NewNotFound(resource, "p")),
			"missing", 404},
		"no such path": {errMissing, "missing", 404},
		"unreadable":   {errRefused, "refused", 400},
		"too many":     {errBusy, "busy", 503},
		"nobody to ask": {fmt.Errorf("ask: %w: %w", errUnasked,
			apierrors.NewForbidden(resource, "", errors.New("x"))), "failed", 502},
		"something else": {errors.New("connection refused by 10.0.0.1"), "failed", 502},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := outcomeOf(tc.err); got.name != tc.name || got.status != tc.status {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]error{"since=24h&class=routine": nil, "since=1d": nil,
		"since=10001d": errRefused, "since=-1d": errRefused, "since=d": errRefused,
		"since=soon": errRefused, "since=-1h": errRefused, "class=bad": errRefused} {
		values, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		f, err := queryOf(values).filter(now)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
		if want == nil && (!f.Since.Equal(now.Add(-24*time.Hour)) || f.Max != 0) {
			t.Errorf("%s: got %+v", text, f)
		}
	}
}
