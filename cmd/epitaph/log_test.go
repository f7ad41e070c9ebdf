package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Errors have one key, whoever logs them, and each line is JSON.
func TestErrorsHaveOneKey(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	handler := newHandler(&b, 0)
	log := logr.FromSlogHandler(handler)
	log.Error(errors.New("gone"), "logr")
	log.Info("ours", "error", "gone")
	slog.NewLogLogger(handler, slog.LevelInfo).Print("net/http's: gone")
	log.V(1).Info("too much")
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines were logged, want 3:\n%s", len(lines), b.String())
	}
	for n, line := range lines {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if n < 2 && entry["error"] != "gone" {
			t.Errorf("%s has no error under the key \"error\"", line)
		}
	}
}

func TestBuildInfo(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	if err := registerBuildInfo(r); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(r, metricBuildInfo); err != nil || n != 1 {
		t.Errorf("there are %d series (%v), want 1", n, err)
	}
}
