package doctor

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/epitaph-k8s/epitaph/config"
	"github.com/epitaph-k8s/epitaph/test/registration"
)

// rendered is what the chart registers; change alters the configuration.
func rendered(t *testing.T, change func(*config.Config)) webhooks {
	t.Helper()
	c := config.Default()
	change(&c)
	r, err := registration.Of(c, admissionregistrationv1.WebhookClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Webhooks
}

func failing(c *config.Config) { c.Webhook.FailurePolicy = "Fail" }

func TestWebhooksAreThoseOfTheChart(t *testing.T) {
	t.Parallel()
	var names, want []string
	for _, e := range Webhooks() {
		names = append(names, e.Name)
	}
	for _, w := range rendered(t, failing) {
		want = append(want, w.Name)
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("-the chart's +the doctor's:\n%s", diff)
	}
}

func TestRegistered(t *testing.T) {
	t.Parallel()
	const what = "webhook configuration"
	without := func(name string) webhooks {
		return slices.DeleteFunc(rendered(t, failing),
			func(w admissionregistrationv1.MutatingWebhook) bool { return w.Name == name })
	}
	tests := map[string]struct {
		all  webhooks
		want []Diagnosis
	}{
		"open": {rendered(t, func(*config.Config) {}), []Diagnosis{
			{Well, what,
				"8 webhooks; while Epitaph is away, everything passes (failurePolicy: Ignore)"},
		}},
		// System pods and creations fail open whatever the policy.
		"closed": {rendered(t, failing), []Diagnosis{
			{Well, what,
				"8 webhooks; while Epitaph is away, these fail: deletions of pods, deletions of nodes, evictions (failurePolicy: Fail)"},
		}},
		"one is missing": {without("pods.epitaph-k8s.io"), []Diagnosis{
			{Well, what,
				"7 webhooks; while Epitaph is away, these fail: deletions of nodes, evictions (failurePolicy: Fail)"},
			{Broken, what,
				"it lacks pods.epitaph-k8s.io: Epitaph does not see deletions of pods. Install the chart anew"},
		}},
		// The API server's default.
		"no policy is Fail": {webhooks{{Name: "nodes.epitaph-k8s.io"}}, []Diagnosis{
			{Well, what,
				"1 webhooks; while Epitaph is away, these fail: deletions of nodes (failurePolicy: Fail)"},
			{Broken, what,
				"it lacks pods.epitaph-k8s.io: Epitaph does not see deletions of pods. Install the chart anew"},
			{Broken, what,
				"it lacks evictions.epitaph-k8s.io: Epitaph does not see evictions. Install the chart anew"},
			{Broken, what,
				"it lacks creations.epitaph-k8s.io: Epitaph does not see creations of pods that carry a reason. Install the chart anew"},
			{Broken, what,
				"it lacks system-pods.epitaph-k8s.io: Epitaph does not see deletions of pods in namespaces that are never denied. Install the chart anew"},
			{Broken, what,
				"it lacks system-evictions.epitaph-k8s.io: Epitaph does not see evictions in namespaces that are never denied. Install the chart anew"},
			{Broken, what,
				"it lacks owners.epitaph-k8s.io: Epitaph does not see deletions of what pods belong to. Install the chart anew"},
			{Broken, what,
				"it lacks scalings.epitaph-k8s.io: Epitaph does not see who has fewer pods run. Install the chart anew"},
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, tc.all.registered()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTrusted(t *testing.T) {
	t.Parallel()
	all := rendered(t, failing)
	for n := range all {
		all[n].ClientConfig.CABundle = bundle(t)
	}
	// bundle makes another certificate each time; all but one shall have the same.
	for n := range all[:len(all)-1] {
		all[n].ClientConfig.CABundle = all[0].ClientConfig.CABundle
	}
	got := all.trusted(noon)
	want := []Diagnosis{
		{Well, "webhook caBundle", "is good until 2026-05-02T12:00:00Z"},
		{Well,
			"webhook caBundle",
			"of scalings.epitaph-k8s.io, which has another: is good until 2026-05-02T12:00:00Z"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReasonKey(t *testing.T) {
	t.Parallel()
	own := rendered(t, func(c *config.Config) { c.Annotations.Pod.Reason = "example.com/why" })
	for want, all := range map[string]webhooks{
		"example.com/why": own,
		"pod.titus.netflix.com/pod-termination-reason": nil,
	} {
		if got := all.reasonKey(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
