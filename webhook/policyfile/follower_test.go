package policyfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/epitaph-k8s/epitaph/config"
)

const (
	lenient = "webhook: {mode: Audit, rules: [{name: lenient, action: Fill}]}"
	strict  = "webhook: {mode: Enforce, rules: [{name: strict, action: Require}]}"
)

// A bench is a follower with a file, and all that it says and does.
type bench struct {
	*Follower
	file    string
	applied []string
	said    []string
	logged  strings.Builder
}

func (b *bench) Eventf(_, _ runtime.Object, kind, why, _, note string, args ...any) {
	b.said = append(b.said, kind+" "+why+": "+fmt.Sprintf(note, args...))
}

// apply refuses what the parser cannot know to be wrong.
func (b *bench) apply(c config.Webhook) error {
	if c.Rules[0].Expression != "" {
		return errors.New("webhook.rules[0].expression: undeclared reference to 'usr'")
	}
	b.applied = append(b.applied, string(c.Mode)+" "+c.Rules[0].Name)
	return nil
}

func follow(t *testing.T, content string) *bench {
	t.Helper()
	b := &bench{file: filepath.Join(t.TempDir(), "config.yaml")}
	b.write(t, content)
	started, err := config.Load(b.file)
	if err != nil {
		t.Fatal(err)
	}
	b.Follower, err = New(Options{File: b.file, Started: started, Apply: b.apply,
		About: &corev1.ConfigMap{}, Events: b, Clock: clock.RealClock{},
		Registerer: prometheus.NewRegistry(),
		Log: funcr.New(func(_, args string) { fmt.Fprintln(&b.logged, args) },
			funcr.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) write(t *testing.T, content string) {
	t.Helper()
	if err := os.WriteFile(b.file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFollower(t *testing.T) {
	t.Parallel()
	const changed = "Normal PolicyChanged: The webhook decides by a changed policy: mode Enforce, rules strict."
	const wrong = "Warning PolicyRefused: The changed configuration is wrong, and the policy stays as it was: "
	tests := map[string]struct {
		files          []string
		applied, said  []string
		logged         string
		taken, refused float64
		inForce        float64 // 1 if an older policy than that of the file is
	}{
		"nothing has changed": {files: []string{lenient, lenient}},
		"a comment":           {files: []string{lenient + " # gently"}},
		"another policy": {files: []string{strict, strict}, applied: []string{"Enforce strict"},
			said: []string{changed}, logged: `"policy changed"`, taken: 1},
		"what does not fit is wrong": {
			files: []string{strings.Replace(strict, "Require", "Demand", 1)},
			said: []string{wrong +
				`webhook.rules[0].action: is "Demand": write one of Require, Fill, Ignore`},
			logged: `"configuration refused: the policy stays as it was"`, refused: 1, inForce: 1},
		"a wrong expression": {
			files:  []string{strings.Replace(strict, "name", "expression: usr, name", 1)},
			said:   []string{wrong + "webhook.rules[0].expression: undeclared reference to 'usr'"},
			logged: `"configuration refused`, refused: 1, inForce: 1},
		"another section is wrong": {files: []string{strict + "\ngc: {workers: 0}"},
			said: []string{wrong + "gc.workers: is \"0\": write at least 1"}, refused: 1, inForce: 1},
		"corrected": {files: []string{"webhook: 1", strict}, applied: []string{"Enforce strict"},
			said:  []string{wrong + "webhook: is 1: write a section, with its fields below it", changed},
			taken: 1, refused: 1},
		"back to what it was": {files: []string{"webhook: 1", lenient},
			said: []string{wrong + "webhook: is 1: write a section, with its fields below it"}, refused: 1},
		"another section": {files: []string{lenient + "\ngc: {workers: 3}\nagent: {maxListeners: 3}"},
			logged: `"configuration changed: these sections are read at a restart" "sections"=["gc"]`},
		"the rest of the section": {
			files:   []string{strings.Replace(strict, "mode", "timeout: 9s, mode", 1)},
			applied: []string{"Enforce strict"}, said: []string{changed}, taken: 1,
			logged: `restart" "sections"=["webhook"]`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := follow(t, lenient)
			b.look()
			for _, content := range tc.files {
				b.write(t, content)
				b.look()
				b.look()
			}
			if diff := cmp.Diff(tc.applied, b.applied); diff != "" {
				t.Errorf("applied (-want +got):\n%s", diff)
			}
			if len(b.said) != len(tc.said) {
				t.Fatalf("said %q, want %q", b.said, tc.said)
			}
			for n, want := range tc.said {
				if !strings.HasPrefix(b.said[n], want) {
					t.Errorf("said %q, want %q", b.said[n], want)
				}
			}
			if !strings.Contains(b.logged.String(), tc.logged) {
				t.Errorf("logged %s, want %s", b.logged.String(), tc.logged)
			}
			b.counts(t, tc.taken, tc.refused, tc.inForce)
		})
	}
}

func (b *bench) counts(t *testing.T, takenOnes, refusedOnes, inForce float64) {
	t.Helper()
	for metric, want := range map[prometheus.Collector]float64{
		b.reloads.WithLabelValues(string(taken)):   takenOnes,
		b.reloads.WithLabelValues(string(refused)): refusedOnes,
		b.refused: inForce,
	} {
		if got := testutil.ToFloat64(metric); got != want {
			t.Errorf("%v is %v, want %v", metric, got, want)
		}
	}
}

// A file that is away is refused once, and followed again when it is back.
func TestFileIsAway(t *testing.T) {
	t.Parallel()
	b := follow(t, lenient)
	if err := os.Remove(b.file); err != nil {
		t.Fatal(err)
	}
	b.look()
	b.look()
	if len(b.said) != 1 || !strings.Contains(b.said[0], "read the configuration: ") {
		t.Errorf("said %q", b.said)
	}
	b.write(t, strict)
	b.look()
	if !cmp.Equal(b.applied, []string{"Enforce strict"}) {
		t.Errorf("applied %q", b.applied)
	}
	b.counts(t, 1, 1, 0)
}

// It looks at once: the file may have changed between the start of the process and its own. And a
// look that panics is repeated.
func TestStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := follow(t, lenient)
		b.write(t, strict)
		calls := 0
		b.Apply = func(config.Webhook) error {
			if calls++; calls == 1 {
				panic("at first")
			}
			return nil
		}
		ctx, stop := context.WithTimeout(t.Context(), 2*Every+time.Second)
		defer stop()
		if err := b.Start(ctx); err != nil || calls != 2 {
			t.Errorf("ended with %v after %d calls, want one more than the one that panics", err,
				calls)
		}
		b.counts(t, 1, 0, 0)
	})
}
