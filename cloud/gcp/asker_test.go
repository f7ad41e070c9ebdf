package gcp

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/epitaph-k8s/epitaph/api/v1alpha1"
	"github.com/epitaph-k8s/epitaph/cloud/explain"
)

func TestAnswer(t *testing.T) {
	r := serve(t, operations(done{Type: preempted, User: system, Words: "Instance was preempted."}))
	got, err := r.ask(t)
	want := v1alpha1.CloudAnswer{
		Cloud: "gcp", Asked: metav1.NewTime(asked), What: "spot-interruption",
		When:    metav1.NewTime(time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)),
		Detail:  "compute.instances.preempted: Instance was preempted.",
		Sources: []string{"compute.zoneOperations.list"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; -want +got:\n%s", err, diff)
	}
	const filter = `targetLink eq ".*/zones/europe-west1-b/instances/worker"`
	if len(r.asked) != 1 || r.asked[0].Get("filter") != filter ||
		r.asked[0].Get("orderBy") != "creationTimestamp desc" {
		t.Errorf("asked %v", r.asked)
	}
}

func TestEnds(t *testing.T) {
	const fell = "compute.instances.hostError"
	tests := map[string]struct {
		all       []done
		what, who string
	}{
		"preempted":  {[]done{{Type: preempted, User: system}}, "spot-interruption", ""},
		"host error": {[]done{{Type: fell, User: system}}, "host-failure", ""},
		"maintenance": {[]done{{Type: "compute.instances.terminateOnHostMaintenance",
			User: system}}, "host-maintenance", ""},
		"shut down from within": {[]done{{Type: "compute.instances.guestTerminate", User: system}},
			"shutdown", ""},
		"recreated": {[]done{{Type: "compute.instances.repair.recreateInstance", User: system}},
			"scale-in", ""},
		"deleted by a person": {[]done{{Type: "delete", User: "alice@example.com"}}, "terminated",
			"alice@example.com"},
		"stopped by a person":   {[]done{{Type: "stop", User: "alice@example.com"}}, "terminated", "alice@example.com"},
		"suspended by a person": {[]done{{Type: "suspend", User: "alice@example.com"}}, "terminated", "alice@example.com"},
		"deleted by its group":  {[]done{{Type: "delete", User: group}}, "scale-in", group},
		"deleted by GKE": {[]done{{Type: "delete",
			User: "service-1@container-engine-robot.iam.gserviceaccount.com"}}, "scale-in",
			"service-1@container-engine-robot.iam.gserviceaccount.com"},
		"stopped by a schedule": {[]done{{Type: "stop",
			User: "service-1@compute-system.iam.gserviceaccount.com"}}, "scale-in",
			"service-1@compute-system.iam.gserviceaccount.com"},
		"the group removes what was preempted": {[]done{{Type: "delete", User: group, Minute: 1},
			{Type: preempted, User: system}}, "spot-interruption", ""},
		"restarted, and deleted later": {[]done{{Type: "delete", User: "alice@example.com"},
			{Type: "compute.instances.automaticRestart", User: system, Minute: -299},
			{Type: fell, User: system, Minute: -300}}, "terminated", "alice@example.com"},
		"stopped, started and preempted": {[]done{{Type: preempted, User: system},
			{Type: "start", User: "alice@example.com", Minute: -10},
			{Type: "stop", User: "alice@example.com", Minute: -20}}, "spot-interruption", ""},
		"suspended, resumed and deleted": {[]done{{Type: "delete", User: group},
			{Type: "resume", User: "alice@example.com", Minute: -10},
			{Type: "suspend", User: "alice@example.com", Minute: -20}}, "scale-in", group},
		"restarted after the Node left": {[]done{
			{Type: "compute.instances.automaticRestart", User: system, Minute: 3},
			{Type: fell, User: system}}, "host-failure", ""},
		// github.com/vllm-project/ci-infra/pull/608
		"a TPU whose host is maintained": {[]done{
			{Type: "compute.instances.automaticRestart", User: system, Minute: 3},
			{Type: preempted, User: system}}, "host-maintenance", ""},
		"a group that makes another of this name": {[]done{
			{Type: "delete", User: "bob@example.com", Minute: 9, Target: 4712},
			{Type: "insert", User: group, Minute: 2, Target: 4712},
			{Type: "delete", User: group}}, "scale-in", group},
		"one of this name before": {[]done{{Type: "delete", User: group},
			{Type: "insert", User: group, Minute: -59},
			{Type: preempted, User: system, Minute: -60, Target: 4710}}, "scale-in", group},
		"what failed":       {[]done{{Type: "delete", User: "mallory@example.com", Failed: true}}, "", ""},
		"what is unknown":   {[]done{{Type: "setLabels", User: "alice@example.com"}}, "", ""},
		"the day before it": {[]done{{Type: "delete", User: "alice@example.com", Minute: -24 * 60}}, "", ""},
		"nothing":           {nil, "", ""},
		"hostile": {[]done{{Type: "delete", User: "a\u202e\x1b" + strings.Repeat("b", 300)}},
			"terminated", `a\u202e\x1b` + strings.Repeat("b", 242) + "…"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := serve(t, operations(tc.all...))
			got, err := r.askAt(t, t.Context(), gone.Add(time.Hour))
			if err != nil || got.What != tc.what || got.Who != tc.who {
				t.Errorf("%q, %q (%s), %v, want %q, %q", got.What, got.Who, got.Detail, err,
					tc.what, tc.who)
			}
		})
	}
	tested := map[string]bool{}
	for _, tc := range tests {
		for _, d := range tc.all {
			tested[d.Type] = true
		}
	}
	for _, kind := range explain.List[map[string]any](os.DirFS("records"), "operations.yaml") {
		if name := kind["type"].(string); !tested[name] {
			t.Errorf("no test has the type %s", name)
		}
	}
}

func TestNotYet(t *testing.T) {
	if got, err := serve(t, operations()).ask(t); !errors.Is(err, explain.ErrNotYet) ||
		got.What != "" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNotOurs(t *testing.T) {
	_, err := serve(t).asker(t, asked).Ask(t.Context(),
		explain.Instance{ProviderID: "aws:///eu-west-1c/i-0598c7d356eba48d7"})
	if !errors.Is(err, explain.ErrNotOurs) {
		t.Errorf("%v", err)
	}
}

func TestRefused(t *testing.T) {
	const call = "compute.zoneOperations.list: "
	limited := refusal(http.StatusTooManyRequests, "rateLimitExceeded")
	limited.header["Retry-After"] = "7"
	for name, tc := range map[string]struct {
		reply reply
		words string
		after time.Duration
	}{
		"too many requests": {limited, call + "429: in words", 7 * time.Second},
		"quota": {refusal(http.StatusForbidden, "rateLimitExceeded"), call + "403: in words",
			30 * time.Second},
		"no right": {refusal(http.StatusForbidden, "forbidden"), call + "403: in words", 0},
		"expired":  {refusal(http.StatusUnauthorized, "authError"), call + "401: in words", 0},
		"outage":   {refusal(http.StatusServiceUnavailable, "backendError"), call + "503: in words", 0},
		"a proxy":  {reply{http.StatusBadGateway, nil, strings.Repeat("<html>", 999)}, call + "502: " + strings.Repeat("<html>", 42) + "<htm", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := serve(t, tc.reply).ask(t)
			if err == nil || err.Error() != tc.words || explain.After(err) != tc.after ||
				len(got.Sources) != 0 {
				t.Errorf("%+v, %v after %v, want %s", got, err, explain.After(err), tc.words)
			}
		})
	}
	t.Run("credentials", func(t *testing.T) {
		r := serve(t)
		r.token = reply{http.StatusBadRequest, nil,
			`{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}`}
		if _, err := r.ask(t); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("%v", err)
		}
	})
}

func TestPages(t *testing.T) {
	end := done{Type: "delete", User: "alice@example.com"}
	got, err := serve(t, page("more", done{Type: "setLabels", User: group}), page("", end)).ask(t)
	if err != nil || got.Who != "alice@example.com" {
		t.Errorf("who is on the second page: %+v, %v", got, err)
	}
	r := serve(t, page("more", done{Type: "setLabels", User: group}))
	if _, err := r.askAt(t, t.Context(), gone.Add(time.Hour)); err != nil ||
		len(r.asked) != maxPages {
		t.Errorf("%d pages are read: %v", len(r.asked), err)
	}
	half := serve(t, page("more", end), refusal(http.StatusInternalServerError, "backendError"))
	if got, err := half.ask(t); !errors.Is(err, explain.ErrNotYet) ||
		got.Who != "alice@example.com" || len(got.Unanswered) != 1 {
		t.Errorf("the second page fails: %+v, %v", got, err)
	}
}

func TestSlow(t *testing.T) {
	r := serve(t)
	over := make(chan struct{})
	defer close(over)
	r.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.askAt(t, ctx, asked); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestHostile(t *testing.T) {
	for name, body := range map[string]string{
		"empty": "", "no JSON": "<html>", "another JSON": `[1]`, "null": `{"items": [null]}`,
		"endless": `{"items": [{"statusMessage": "` + strings.Repeat("a", 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := serve(t, reply{http.StatusOK, nil, body}).ask(t)
			if err == nil || got.What != "" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}
