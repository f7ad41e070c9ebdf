package main

import (
	"strings"
	"testing"
)

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                         "--ask is missing: name the clouds, such as aws",
		"--ask moon":               `--ask is "moon": the clouds are aws, azure, gcp`,
		"--ask aws --timeout 1ms":  "--timeout is 1ms: it is between 1s and 5m",
		"--ask aws --per-second 0": "--per-second is 0: it is above 0, up to 100",
	} {
		if _, err := parse(strings.Fields(args), t.Output()); err == nil ||
			!strings.HasSuffix(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
	}
}
